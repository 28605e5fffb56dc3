# `make demo` and `make test` each do all their own set-up on a machine with Python 3.11.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test check soak bench clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,app,s3,http,dev]'
	touch $@

demo: setup
	$(BIN)/biascarevl demo --workspace work/demo

test: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --cov --cov-report=term --cov-fail-under=80

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -m soak

bench: setup
	for bench in benchmarks/[a-z]*.py; do $(BIN)/python -m benchmarks.$$(basename $$bench .py) || exit 1; done

clean:
	rm -rf $(VENV) work build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

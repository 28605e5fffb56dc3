"""The command line as a person uses it: real processes, exit codes, one clear line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def command(*arguments, cwd=None, **environment):
    program = [sys.executable, "-m", "flows.cli", *map(str, arguments)]
    known = os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment
    return subprocess.run(program, capture_output=True, text=True, cwd=cwd, timeout=300, env=known)


def test_help_teaches_and_imports_nothing_heavy():
    code = "import sys, flows.cli; print([m for m in ('prefect', 'torch', 'pyarrow', 'numpy') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
    shown = command("--help")
    assert shown.returncode == 0 and "look" in shown.stdout and "Exit codes" in shown.stdout
    assert command("--version").stdout.startswith("biascarevl ")


def test_an_unchanged_refresh_says_so_and_does_nothing(corpus_copy):
    result = command("refresh", corpus_copy / "demo.toml")
    assert (result.returncode, result.stdout) == (0, "unchanged: nothing to do\n")


def test_bad_input_exits_2_and_writes_nothing(simulated, tmp_path):
    config = tmp_path / "bad.toml"
    config.write_text((simulated / "demo.toml").read_text().replace("seed", "sead"))
    result = command("refresh", config, "--plain")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1 and "sead" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]


def test_a_refusing_gate_exits_3(corpus_copy):
    config = corpus_copy / "demo.toml"
    config.write_text(config.read_text().replace("[shards]", '[gates]\nleakage = "refuse"\n[shards]'))
    result = command("refresh", config, "--plain")
    assert result.returncode == 3 and "refuse" in result.stderr


def test_single_stages_status_quarantine_and_verify(corpus_copy, tmp_path):
    config = corpus_copy / "demo.toml"
    for stage in ("census", "weigh", "pack"):
        assert command(stage, config).returncode == 0
    status = command("status", config).stdout
    assert "fresh    pack" in status and "stale    train" in status
    listed = command("quarantine", config, "--export", tmp_path / "rows.csv")
    assert "duplicated_id" in listed.stdout and "reason" in (tmp_path / "rows.csv").read_text()
    verified = command("verify", config)
    assert (verified.returncode, verified.stdout) == (0, "0 problems\n")
    assert command("evaluate", config, "--plain").returncode == 2


def test_look_and_init_recognise_what_simulate_wrote(simulated, tmp_path):
    looked = command("look", simulated / "raw", "--out", tmp_path / "bias.html")
    assert looked.returncode == 0 and (tmp_path / "bias.html").stat().st_size > 10_000
    assert "isic2018" in looked.stderr
    made = command("init", simulated / "raw", "--out", tmp_path / "mine.toml")
    assert made.returncode == 0
    assert command("status", tmp_path / "mine.toml").returncode == 0
    assert command("init", simulated / "raw", "--out", tmp_path / "mine.toml").returncode == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert command("look", empty).returncode == 2


def test_simulate_is_recorded_and_refuses_a_full_folder(tmp_path):
    done = command("simulate", tmp_path / "raw", "--samples", 60, "--seed", 1)
    assert done.returncode == 0
    assert json.loads((tmp_path / "raw" / "planted.json").read_text())["seed"] == 1
    assert command("simulate", tmp_path / "raw", "--samples", 60).returncode == 2


BLOCK_TORCH = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is blocked")

sys.meta_path.insert(0, Block())
"""


def test_look_needs_no_torch(simulated, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCK_TORCH)
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    looked = command("look", simulated / "raw", "--out", tmp_path / "bias.html", PYTHONPATH=path)
    assert looked.returncode == 0, looked.stderr


def test_the_data_side_imports_without_torch():
    code = BLOCK_TORCH + (
        "import ingest, ingest.curate, ingest.census, ingest.simulate, shards.weights, shards.weigh, shards.pack\n"
        "import evaluation.report, evaluation.evaluate, flows.look, flows.stages"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


@pytest.mark.parametrize("delay_seconds", [1.5, 3.0, 4.0, 5.0])
def test_a_refresh_killed_at_any_moment_is_finished_by_the_next(simulated, tmp_path, delay_seconds):
    program = [
        sys.executable,
        "-m",
        "flows.cli",
        "refresh",
        str(simulated / "demo.toml"),
        "--plain",
        "--workspace",
        "w",
    ]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(program, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    time.sleep(delay_seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = command("refresh", simulated / "demo.toml", "--plain", "--workspace", "w", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert command("verify", simulated / "demo.toml", "--workspace", "w", cwd=tmp_path).stdout == "0 problems\n"


def test_two_processes_do_not_write_one_workspace(corpus_copy):
    import fcntl

    (corpus_copy / "work" / "stages" / "census.json").unlink()
    with (corpus_copy / "work" / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        result = command("refresh", corpus_copy / "demo.toml", "--plain")
    assert result.returncode == 1 and "another process" in result.stderr

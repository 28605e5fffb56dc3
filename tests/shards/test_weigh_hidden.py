"""Small groups of identifiable data sets: weighed like all, their figures told nowhere."""

import json

import pyarrow.parquet as pq
import pytest

from evaluation.certificate_section import comparison_cells
from ingest.errors import GateRefused
from shards.targets import Target
from shards.weigh import WeightsConfig, weigh

EQUAL = Target(toward={"female": 0.5, "male": 0.5})


GUARDED = {"attributes": ["sex"], "max_repeats": {}, "num_epochs": 1, "draws_per_epoch": 0, "identifiable": {"b"}}


def test_margins_of_few_training_persons_of_identifiable_data_are_hidden(skewed):
    weigh(skewed, WeightsConfig(), **GUARDED)
    margins = {row["level"]: row for row in pq.read_table(skewed.weights.with_name("margins.parquet")).to_pylist()}
    # 8 women and 2 unknown are small, and ten persons together still: the 30 men are hidden with them. The 60 rows
    # without sex are of data set a, which is not identifiable.
    assert {level for level, row in margins.items() if row["suppressed"]} == {"female", "unknown", "male"}
    assert margins["female"]["before"] is None and margins["__missing__"]["num_persons"] == 60


def test_the_certificate_tells_no_figure_of_a_hidden_margin(skewed):
    config = WeightsConfig(targets={"sex": Target(toward="uniform")}, upper=1.2, lower=0.9)
    weigh(skewed, config, **GUARDED)
    solution = json.loads(skewed.solution.read_text())
    for line in (*solution["margins"], *solution["clipped"]):
        assert {key for key, value in line.items() if value is not None} == {"attribute", "level"}
    assert {line["level"] for line in solution["clipped"]} == {"female", "male"}


def test_the_comparison_does_not_tell_the_size_of_a_small_group(skewed):
    config = WeightsConfig(targets={"sex": Target(toward="uniform")})
    weigh(skewed, config, **GUARDED)
    solution = json.loads(skewed.solution.read_text())
    inverse = next(line for line in solution["comparison"] if line["method"] == "inverse")
    # 100 rows in four groups: the two unknown would weigh 12.5, that is 100 / 4 / 2.
    assert inverse["max_weight"] is None and inverse["min_weight"] is not None
    assert inverse["largest_residual"] is None  # every margin is hidden
    assert comparison_cells(inverse)[1] == comparison_cells(inverse)[3] == "suppressed"
    weigh(skewed, config, **GUARDED | {"identifiable": {"a"}})
    public = next(line for line in json.loads(skewed.solution.read_text())["comparison"] if line["method"] == "inverse")
    assert public["max_weight"] == pytest.approx(12.5)


def test_an_error_tells_no_figure_of_a_hidden_margin(skewed):
    def refused(**options):
        with pytest.raises(GateRefused) as error:
            weigh(skewed, WeightsConfig(targets={"sex": EQUAL}, upper=1.2, lower=0.9), **GUARDED | options)
        return str(error.value)

    assert "between 0." in refused(identifiable=set())
    assert "an interval that is not told" in refused() and "between 0." not in refused()

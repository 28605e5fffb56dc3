from hypothesis import given
from hypothesis import strategies as st

from ingest.percent import between, percent, points


def test_a_rare_group_keeps_two_digits_that_count():
    assert percent(0.412) == "41.2\N{NO-BREAK SPACE}%"
    assert percent(249 / 3_351_438) == "0.0074\N{NO-BREAK SPACE}%"
    assert percent(0.99997) == "99.9970\N{NO-BREAK SPACE}%"
    assert percent(0) == "0.0\N{NO-BREAK SPACE}%" and percent(1) == "100.0\N{NO-BREAK SPACE}%" and percent(None) == "–"
    assert percent(1 - 1e-15) == "100.0\N{NO-BREAK SPACE}%"  # rounding of a sum, no group
    assert between(0.00006, 0.0002) == "0.0060 to 0.0200\N{NO-BREAK SPACE}%" and between(None, 0.1) == ""
    assert points(-0.000031) == "-0.0031 points" and points(0.167) == "+16.7 points" and points(None) == "–"


@given(st.floats(1e-8, 1, exclude_max=True))
def test_nothing_that_exists_is_shown_as_nothing_or_as_everything(share):
    shown = float(percent(share).split("\N{NO-BREAK SPACE}")[0])
    assert shown > 0
    assert shown < 100 or share > 1 - 1e-9
    assert abs(shown - 100 * share) <= 0.051

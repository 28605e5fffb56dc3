"""What the weights do: the solver's certificate as a chapter of the report and as one sentence."""

from collections.abc import Collection
from typing import Any

from evaluation.page import SUPPRESSED, Markup, folded, name_of, note, plural, table, text, whole
from ingest.percent import between, percent

Row = dict[str, Any]
METHOD_WORDS: dict[str, str] = {
    "calibration": "bounded calibration", "none": "no weights", "inverse": "inverse frequency",
    "sqrt": "inverse square root", "power": "share to a power", "effective_number": "effective number",
    "kamiran_calders": "Kamiran-Calders", "dataset": "data sets equal",
}  # fmt: skip
MARGINS_NOTE = (
    "Sampling weights are solved for, not tuned. Residual is after minus target. Reachable is what this level "
    "alone could become under the bounds. A multiplier is the change of the level's log-odds of being drawn."
)


def weights_words(solution: Row) -> str:
    """The certificate in one sentence."""
    if not solution["margins"]:
        return "No target is set: every training row counts the same."
    shown = [row for row in solution["margins"] if row["residual"] is not None]
    within = "a distance that is suppressed"
    if shown:
        farthest = max(shown, key=lambda row: abs(row["residual"]))
        residual = 100 * abs(farthest["residual"])
        off = f"{residual:.3f} percentage points; farthest off is {name_of(farthest['level'])}"
        within = "less than 0.001 percentage points" if residual < 0.001 else off
    return (
        f"{plural(len(solution['margins']), 'target')} met to within {within}. No row counts more than "
        f"{solution['max_weight']:.2f} times, and the training set keeps "
        f"{percent(solution['effective_share'], digits=0)} of its effective size."
    )


def certificate_words(solution: Row) -> list[str]:
    """The certificate as sentences: size, proof, and what was clipped, weakened or missed."""
    said = [
        f"Largest weight {solution['max_weight']:.3f}; effective share of the training rows "
        f"{percent(solution['effective_share'])}."
    ]
    if solution["duality_gap"] is None:
        method = METHOD_WORDS.get(solution["method"], solution["method"])
        said.append(f"Weights by {method}, which solves for no target: the residuals say what it misses.")
    else:
        gap = f"Duality gap {solution['duality_gap']:.1e}"
        said.append(f"{gap}: no weights within the bounds come closer to the targets.")
    said.append(
        f"{whole(solution['num_rows'])} training rows in {whole(solution['num_cells'])} cells, solved in "
        f"{solution['seconds']:.2f} seconds."
    )
    if not solution.get("has_pictures", True):
        said.append("No picture has come yet: these are the weights if all do. Weigh again once they are here.")
    if not solution["feasible"]:
        said.append(
            "Some targets contradict each other or the bounds: the residuals say by how much each margin is missed."
        )
    if solution.get("strength_factor", 1.0) < 1:
        said.append(
            f"All rules were weakened to {percent(solution['strength_factor'])} of their strength, so that the "
            "effective share stays above its floor."
        )
    said += [f"{words}." for words in solution.get("notes", [])]
    for row in solution.get("clipped", []):
        found = "the target was clipped to what can be reached (suppressed)."
        if row["wanted"] is not None:
            found = f"a share of {percent(row['wanted'])} was asked for, {percent(row['target'])} can be reached."
        said.append(f"{name_of(row['attribute'])} {name_of(row['level'])}: {found}")
    return said


def certificate(solution: Row, hidden: Collection[tuple[str, str]]) -> Markup:
    """The margins with their reach and multipliers, the proof, and the baselines beside it.

    hidden: attribute and level of cells that the census suppresses.
    """
    body = "<ul>" + "".join(f"<li>{text(words)}</li>" for words in certificate_words(solution)) + "</ul>"
    if not solution["margins"]:
        return body + note("No target is set: every training row weighs the same.")
    rows = [_margin_cells(row, hidden) for row in solution["margins"]]
    body += note(MARGINS_NOTE) + table(
        ["Attribute", "Level", "Before", "After", *MARGIN_COLUMNS], rows, caption="Margins of the training set", words=2
    )
    return body + _comparison(solution.get("comparison", []))


MARGIN_COLUMNS = ["Target", "Residual", "Reachable", "Multiplier"]


def margin_numbers(row: Row) -> list[str]:
    """What the solver says of a margin (MARGIN_COLUMNS), as plain words."""
    return [
        percent(row["target"], digits=2), f"{row['residual']:+.1e}",
        between(row["reachable_low"], row["reachable_high"]),
        "–" if row["multiplier"] is None else f"{row['multiplier']:+.3f}",
    ]  # fmt: skip


def _margin_cells(row: Row, hidden: Collection[tuple[str, str]]) -> list[Markup]:
    numbers = [SUPPRESSED] * 6
    if (row["attribute"], row["level"]) not in hidden and row["target"] is not None:
        shares = [percent(row["before"], digits=2), percent(row["after"], digits=2)]
        numbers = [text(number) for number in (*shares, *margin_numbers(row))]
    return [text(name_of(row["attribute"])), text(name_of(row["level"])), *numbers]


COMPARISON_COLUMNS = ["Method", "Farthest margin", "Effective share", "Largest weight", "Rows out of bounds"]


def comparison_cells(row: Row) -> list[str]:
    """One method beside the others, as plain words."""
    farthest, weight = row["largest_residual"], row["max_weight"]
    outside = [row["num_rows_outside_bounds"], row["num_rows_above_cap"]]
    return [
        METHOD_WORDS.get(row["method"], str(row["method"])),
        "suppressed" if farthest is None else f"{100 * farthest:.4f} points",
        percent(row["effective_share"]),
        "suppressed" if weight is None else f"{weight:,.2f}",
        "suppressed" if None in outside else whole(sum(outside)),
    ]


def _comparison(rows: list[Row]) -> Markup:
    if not rows:
        return ""
    cells = [[text(cell) for cell in comparison_cells(row)] for row in rows]
    caption = "The same rows, targets and bounds under other ways of weighting"
    return folded("Other ways of weighting", table(COMPARISON_COLUMNS, cells, caption=caption))

"""What the weights do: the solver's certificate as a chapter of the report and as one sentence."""

from typing import Any

from evaluation.page import Markup, between, name_of, note, percent, plural, table, text, whole

Row = dict[str, Any]


def weights_words(solution: Row) -> str:
    """The certificate in one sentence."""
    if not solution["margins"]:
        return "No target is set: every training row counts the same."
    residual = 100 * max(abs(row["residual"]) for row in solution["margins"])
    size = "less than 0.001" if residual < 0.001 else f"{residual:.3f}"
    return (
        f"{plural(len(solution['margins']), 'target')} met to within {size} percentage points. No row counts more than "
        f"{solution['max_weight']:.2f} times, and the training set keeps "
        f"{percent(solution['effective_share'], digits=0)} of its effective size."
    )


def certificate(solution: Row) -> Markup:
    """The margins with their reach and multipliers, and the proof that nothing within the bounds is closer."""
    summary = [
        f"Largest weight {solution['max_weight']:.3f}; effective share of the training rows "
        f"{percent(solution['effective_share'])}.",
        f"Duality gap {solution['duality_gap']:.1e}: no weights within the bounds come closer to the targets.",
        f"{whole(solution['num_rows'])} training rows in {whole(solution['num_cells'])} cells, solved in "
        f"{solution['seconds']:.2f} seconds.",
    ]
    if not solution["feasible"]:
        summary.append(
            "Some targets contradict each other or the bounds: the residuals say by how much each margin is missed."
        )
    rows = [
        [
            text(name_of(row["attribute"])), text(name_of(row["level"])), percent(row["before"], digits=2),
            percent(row["target"], digits=2), percent(row["after"], digits=2), f"{row['residual']:+.1e}",
            text(between(row["reachable_low"], row["reachable_high"])), f"{row['multiplier']:+.3f}",
        ]
        for row in solution["margins"]
    ]  # fmt: skip
    columns = ["Attribute", "Level", "Before", "Target", "After", "Residual", "Reachable", "Multiplier"]
    explained = (
        "Sampling weights are solved for, not tuned. Residual is after minus target. Reachable is what this level "
        "alone could become under the bounds. A multiplier is the change of the level's log-odds of being drawn."
    )
    body = "".join(f"<li>{text(words)}</li>" for words in summary)
    if not rows:
        return f"<ul>{body}</ul>" + note("No target is set: every training row weighs the same.")
    return f"<ul>{body}</ul>" + note(explained) + table(columns, rows, caption="Margins of the training set", words=2)

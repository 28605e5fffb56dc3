"""Figures of the corpus, as plotly figures: the report inlines them, the dashboard makes them clickable.

Every bar carries its number of persons beside its percentage; missing is a grey bar of its own; what is suppressed
says so in words. Rows are those of the census tables (``ingest.census``) and of ``weights/margins.parquet``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.figures import plain, styled
from evaluation.page import BLUE, GREY, ORANGE, VERMILION, name_of
from ingest.applicability import MISSING, NOT_APPLICABLE
from ingest.attributes import ABSENT_LEVELS
from ingest.percent import between, percent, points

Row = dict[str, Any]
INK = "#17202b"
SOURCE_COLOURS = {
    "metadata": BLUE, "curated": "#56B4E9", "rule": ORANGE, "model": VERMILION, MISSING: "#b9c3cf",
    NOT_APPLICABLE: "#e6eaef",
}  # fmt: skip
"""Sources, most trusted first; then none, and none needed."""
_LONGEST_LABEL = 22
_BAR_PX = 34


def level_shares(rows: Sequence[Row], *, expected: Mapping[str, float] | None = None) -> Any:
    """One bar per level with its interval and persons; a diamond where the reference population would be.

    rows: of one attribute and data set, in reading order. expected: share of all rows that a level would have if the
    rows that say it were as in the population. A click gives the level as ``customdata``.
    """
    import plotly.graph_objects as go

    rows = list(rows)[::-1]
    shares = [0.0 if row["suppressed"] else row["share"] for row in rows]
    figure = go.Figure()
    figure.add_bar(
        orientation="h", y=list(range(len(rows))), x=shares, width=0.6, showlegend=False,
        marker={"color": [GREY if row["level"] in ABSENT_LEVELS else BLUE for row in rows]},
        error_x={
            "type": "data", "symmetric": False, "color": INK, "thickness": 1.4, "width": 3,
            "array": [_gap(row["high"], share) for row, share in zip(rows, shares, strict=True)],
            "arrayminus": [_gap(share, row["low"]) for row, share in zip(rows, shares, strict=True)],
        },
        customdata=[row["level"] for row in rows], hovertext=[_hover(row) for row in rows], hoverinfo="text",
    )  # fmt: skip
    wanted = [(place, (expected or {}).get(row["level"])) for place, row in enumerate(rows)]
    if expected:
        figure.add_scatter(
            x=[share for _, share in wanted if share is not None],
            y=[place for place, share in wanted if share is not None], mode="markers",
            name="reference population, among the rows that say it",
            marker={"symbol": "diamond", "size": 11, "color": VERMILION, "line": {"color": "white", "width": 1.5}},
            hovertemplate="reference %{x:.3~p}<extra></extra>",
        )  # fmt: skip
    _beside(figure, rows, [max(row["high"] or 0.0, share) for row, share in zip(rows, shares, strict=True)], wanted)
    return _finish(figure, [_tick(row["level"]) for row in rows], legend=bool(expected))


def before_after(rows: Sequence[Row]) -> Any:
    """Two bars per level, the training rows before and after weighting, and a line where a target stands.

    rows: ``level, before, after, num_persons, hidden`` and ``target`` (None without one), in reading order.
    """
    import plotly.graph_objects as go

    rows = list(rows)[::-1]
    figure = go.Figure()
    for name, key, colour, offset in (("after", "after", ORANGE, -0.2), ("before", "before", GREY, 0.2)):
        figure.add_bar(
            orientation="h", y=[place + offset for place in range(len(rows))], width=0.36, name=f"{name} weighting",
            x=[0.0 if row["hidden"] else row[key] for row in rows], marker={"color": colour},
            text=["suppressed" if row["hidden"] else percent(row[key]) for row in rows], textposition="outside",
            cliponaxis=False, customdata=[row["level"] for row in rows],
            hovertext=[_change_hover(row) for row in rows], hoverinfo="text",
        )  # fmt: skip
    targets = [
        (place, row["target"]) for place, row in enumerate(rows) if row["target"] is not None and not row["hidden"]
    ]
    if targets:
        figure.add_scatter(
            x=[share for _, share in targets], y=[place - 0.2 for place, _ in targets], mode="markers", name="target",
            marker={"symbol": "line-ns", "size": 16, "line": {"color": INK, "width": 2.5}},
            hovertemplate="target %{x:.3~p}<extra></extra>",
        )  # fmt: skip
    largest = max((max(row["before"], row["after"]) for row in rows if not row["hidden"]), default=1.0)
    figure.update_xaxes(range=[0, 1.35 * (largest or 1.0)])  # at 400 px a label is a third of a bar
    ticks = [f"{_tick(row['level'])}<br><span style='color:{GREY}'>{_persons(row)}</span>" for row in rows]
    figure.update_layout(legend={"traceorder": "reversed"})
    return _finish(figure, ticks, legend=True, bar_px=52)


def association_strengths(rows: Sequence[Row]) -> Any:
    """A ranked list: Cramer's V with its interval per pair; hollow where the test does not survive the correction.

    A click gives the pair as ``customdata``.
    """
    keys = [f"{row['attribute_a']}|{row['attribute_b']}|{row.get('level_b') or ''}" for row in rows]
    return _strengths(rows, "cramers_v", "Cramér's V", words=[pair_words(row) for row in rows], keys=keys)


def shortcut_risks(rows: Sequence[Row]) -> Any:
    """The same of what pictures give away: risk with its interval per attribute and label."""
    return _strengths(rows, "risk", "risk", words=[shortcut_words(row) for row in rows], keys=None)


def _strengths(rows: Sequence[Row], column: str, name: str, *, words: Sequence[str], keys: Sequence[str] | None) -> Any:
    """One mark from 0 to 1 with its interval per row, the first on top."""
    import plotly.graph_objects as go

    rows, words = list(rows)[::-1], list(words)[::-1]
    figure = go.Figure()
    held = [(place, row) for place, row in enumerate(rows) if row.get("low") is not None]
    figure.add_scatter(
        x=[value for _, row in held for value in (row["low"], row["high"], None)],
        y=[value for place, _ in held for value in (place, place, None)], mode="lines", name="95 % over persons",
        line={"color": BLUE, "width": 4}, hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=[row[column] for row in rows], y=list(range(len(rows))), mode="markers", name=name,
        customdata=None if keys is None else list(keys)[::-1],
        marker={
            "size": 10, "color": ["white" if not is_known(row) else INK for row in rows],
            "line": {"color": INK, "width": 1.8},
        },
        hovertext=[f"{of}: {name} {row[column]:.2f}" for of, row in zip(words, rows, strict=True)], hoverinfo="text",
    )  # fmt: skip
    figure.update_xaxes(range=[-0.02, 1.04], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".2f")
    _finish(figure, [_wrapped(one) for one in words], legend=bool(held), bar_px=40, percent=False)
    return figure


def source_shares(rows: Sequence[Row]) -> Any:
    """How each attribute was established: one stacked bar per attribute, most trusted source first."""
    import plotly.graph_objects as go

    attributes = list(dict.fromkeys(row["attribute"] for row in rows))[::-1]
    figure = go.Figure()
    for source, colour in SOURCE_COLOURS.items():
        of_source = {row["attribute"]: row for row in rows if row["source"] == source}
        if not of_source:
            continue
        bars = [of_source.get(attribute) for attribute in attributes]
        figure.add_bar(
            orientation="h", y=list(range(len(attributes))), width=0.6, name=name_of(source), marker={"color": colour},
            x=[0.0 if bar is None or bar["suppressed"] else bar["share"] for bar in bars],
            hovertext=["" if bar is None else f"{name_of(source)}: {_share_words(bar)}" for bar in bars],
            hoverinfo="text",
        )  # fmt: skip
    figure.update_layout(barmode="stack", legend={"traceorder": "normal"})
    _finish(figure, [_tick(attribute) for attribute in attributes], legend=True, percent=True)
    figure.update_xaxes(range=[0, 1.04], tickvals=[0, 0.5, 1])  # room for the last label
    return figure


def share_changes(rows: Sequence[Row]) -> Any:
    """Change of each level's share between two versions, with its interval; levels in reading order."""
    import plotly.graph_objects as go

    rows = list(rows)[::-1]
    figure = go.Figure()
    open_rows = [(place, row) for place, row in enumerate(rows) if not row["suppressed"]]
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    figure.add_scatter(
        x=[value for _, row in open_rows for value in (row["low"], row["high"], None)],
        y=[value for place, _ in open_rows for value in (place, place, None)], mode="lines", showlegend=False,
        line={"color": BLUE, "width": 4}, hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=[row["change"] for _, row in open_rows], y=[place for place, _ in open_rows], mode="markers",
        marker={"size": 9, "color": INK}, showlegend=False, hoverinfo="text",
        hovertext=[f"{name_of(row['level'])}: {points(row['change'])}" for _, row in open_rows],
    )  # fmt: skip
    ticks = [_tick(row["level"]) + (" suppressed" if row["suppressed"] else "") for row in rows]
    figure.update_xaxes(tickformat="+.3~p")
    return _finish(figure, ticks, legend=False, percent=False)


def is_known(row: Row) -> bool:
    """Whether an association survives the correction for the number of tests."""
    value = row.get("q_value", row.get("p_value"))
    return value is not None and value <= 0.05


def pair_words(row: Row) -> str:
    """``sex and modality``, or ``sex and label pneumonia`` for one level."""
    level = f" {name_of(row['level_b'])}" if row.get("level_b") else ""
    return f"{name_of(row['attribute_a'])} and {name_of(row['attribute_b'])}{level}"


def shortcut_words(row: Row) -> str:
    """``modality and label pneumonia``."""
    return f"{name_of(row['attribute'])} and label {name_of(row['label'])}"


def _beside(
    figure: Any, rows: Sequence[Row], ends: Sequence[float], wanted: Sequence[tuple[int, float | None]]
) -> None:
    """Percentage and persons behind each bar's end, past its interval and the reference."""
    reach = [max(end, share or 0.0) for end, (_, share) in zip(ends, wanted, strict=True)]
    widest = max(reach, default=1.0) or 1.0
    for place, (row, end) in enumerate(zip(rows, reach, strict=True)):
        figure.add_annotation(
            x=end, y=place, xshift=9, text=_share_words(row), showarrow=False, xanchor="left", align="left",
            font={"size": 12, "color": GREY if row["suppressed"] or row["level"] in ABSENT_LEVELS else INK},
        )  # fmt: skip
    figure.update_xaxes(range=[0, 1.8 * widest])


def _finish(figure: Any, ticks: Sequence[str], *, legend: bool, bar_px: int = _BAR_PX, percent: bool = True) -> Any:
    figure.update_yaxes(
        tickvals=list(range(len(ticks))),
        ticktext=list(ticks),
        range=[-0.7, len(ticks) - 0.3],
        showgrid=False,
        ticklabelstandoff=6,
    )
    if percent:
        figure.update_xaxes(tickformat=".0%", nticks=5)
    return styled(figure, height=64 + bar_px * max(1, len(ticks)), legend=legend)


def _gap(high: float | None, low: float | None) -> float | None:
    """Length of one arm of an interval; none where there is no interval."""
    return None if high is None or low is None else max(0.0, high - low)


def _tick(level: object) -> str:
    words = name_of(level)
    return plain(words if len(words) <= _LONGEST_LABEL else words[: _LONGEST_LABEL - 1] + "…")


def _wrapped(words: str) -> str:
    """Two lines where one would leave no room for the figure."""
    if len(words) <= _LONGEST_LABEL:
        return plain(words)
    first, _, rest = words.partition(" and ")
    return f"{_tick(first)}<br>and {_tick(rest)}" if rest else _tick(words)


def _persons(row: Row) -> str:
    if row["hidden"] or row.get("num_persons") is None:
        return "n suppressed" if row["hidden"] else ""
    return f"n {row['num_persons']:,}"


def _share_words(row: Row) -> str:
    if row["suppressed"]:
        return "<i>suppressed</i>"
    return f"<b>{percent(row['share'])}</b> n {row['num_persons']:,}"


def _hover(row: Row) -> str:
    if row["suppressed"]:
        return f"{_tick(row['level'])}: suppressed, too few persons"
    interval = "" if row["low"] is None else f", 95 % {between(row['low'], row['high'])}"
    return (
        f"{_tick(row['level'])}: {percent(row['share'])} of rows{interval}<br>{row['num_persons']:,} persons, "
        f"{row['num_rows']:,} rows"
    )


def _change_hover(row: Row) -> str:
    if row["hidden"]:
        return f"{_tick(row['level'])}: suppressed, too few persons"
    target = "" if row["target"] is None else f", target {percent(row['target'])}"
    shares = f"{percent(row['before'])} before, {percent(row['after'])} after"
    return f"{_tick(row['level'])}: {shares}{target}<br>{_persons(row)}"

"""Figures as plotly draws them, each a fragment of the page; plotly.js itself is inlined once."""

import itertools
from collections.abc import Sequence
from typing import Any

from evaluation.page import BLUE, GREY, ORANGE, Markup, name_of, sentence_case
from evaluation.rows import EVERYTHING, NO_GROUP

_FONT = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif", "size": 13, "color": "#17202b"}
CONFIG: Any = {"displayModeBar": False, "responsive": True}
_ROW_PX = 27
Row = dict[str, Any]


def plotly_script() -> str:
    """The whole of plotly.js, to stand in the page once."""
    import plotly.offline

    return str(plotly.offline.get_plotlyjs())


def loss_curve(lines: Sequence[Row], *, anchor: str) -> Markup:
    """Loss per step, faint, and its running mean over a twentieth of the run."""
    import plotly.graph_objects as go

    steps = [line["step"] for line in lines]
    losses = [line["loss"] for line in lines]
    window = max(1, len(losses) // 20)
    smooth = [sum(losses[max(0, at + 1 - window) : at + 1]) / min(at + 1, window) for at in range(len(losses))]
    figure = go.Figure()
    figure.add_scatter(x=steps, y=losses, mode="lines", name="each step", line={"color": "#b9c3cf", "width": 1})
    figure.add_scatter(x=steps, y=smooth, mode="lines", name="running mean", line={"color": BLUE, "width": 2.5})
    figure.update_xaxes(title="optimiser step")
    figure.update_yaxes(title="loss", rangemode="tozero")
    return fragment(styled(figure, height=320, legend=True), anchor=anchor)


def group_scores(rows: Sequence[Row], *, anchor: str) -> Markup:
    """A dot with its intervals per group, the score of everybody as a line.

    rows: of one metric, task and dataset. Thick: 95 % for this group; thin: 95 % for all groups jointly. A suppressed
    group keeps its line, without a dot.
    """
    import plotly.graph_objects as go

    lines = _lines_of([row for row in rows if row["estimate"] is not None or is_suppressed(row)])
    placed = [
        (row, place)
        for place, (_, row) in zip(range(len(lines))[::-1], lines, strict=True)
        if row is not None and not is_suppressed(row)
    ]
    figure = go.Figure()
    for low, high, colour, width, name in (
        ("simultaneous_low", "simultaneous_high", ORANGE, 1.6, "95 % for all groups together"),
        ("low", "high", BLUE, 5, "95 % for this group"),
    ):
        held = [(row, place) for row, place in placed if row[low] is not None]
        figure.add_scatter(
            x=[value for row, _ in held for value in (row[low], row[high], None)],
            y=[value for _, place in held for value in (place, place, None)],
            mode="lines", line={"color": colour, "width": width}, name=name, hoverinfo="skip",
        )  # fmt: skip
    figure.add_scatter(
        x=[row["estimate"] for row, _ in placed], y=[place for _, place in placed], mode="markers", name="score",
        customdata=[_label(row) for row, _ in placed], hovertemplate="%{customdata}: %{x:.3f}<extra></extra>",
        marker={"color": "#17202b", "size": 9, "line": {"color": "white", "width": 1.5}},
    )  # fmt: skip
    overall = [row["estimate"] for row, _ in placed if row["attribute"] == EVERYTHING]
    if overall:
        figure.add_vline(x=overall[0], line={"color": GREY, "width": 1, "dash": "dot"})
    figure.update_xaxes(range=[-0.02, 1.02], tickvals=[0, 0.25, 0.5, 0.75, 1])
    figure.update_yaxes(
        tickvals=list(range(len(lines))[::-1]), ticktext=[label for label, _ in lines],
        range=[-0.7, len(lines) - 0.3], showgrid=False,
    )  # fmt: skip
    return fragment(styled(figure, height=74 + _ROW_PX * len(lines), legend=True), anchor=anchor)


def _lines_of(rows: Sequence[Row]) -> list[tuple[str, Row | None]]:
    """The figure's lines from the top: everybody, then each attribute's name and its groups below it."""
    lines: list[tuple[str, Row | None]] = []
    for attribute, group in itertools.groupby(rows, key=lambda row: str(row["attribute"])):
        members = list(group)
        title = plain(sentence_case(name_of(attribute)))
        if attribute != EVERYTHING and {row["level"] for row in members} <= NO_GROUP:
            lines.append((f"<b>{title}</b>: not known", None))
            continue
        if attribute != EVERYTHING:
            lines.append((f"<b>{title}</b>", None))
        lines += [(_label(row), row) for row in members]
    return lines


def is_suppressed(row: Row) -> bool:
    """Whether a score is hidden: it has not even a number of persons."""
    return row["num_patients"] is None


def _label(row: Row) -> str:
    """``female (41)``, for everybody the attribute is left out."""
    level = "everybody" if row["attribute"] == EVERYTHING else name_of(row["level"])
    short = level if len(level) <= 24 else level[:23] + "…"
    return plain(f"{short} ({'suppressed' if is_suppressed(row) else format(row['num_patients'], ',')})")


def plain(words: str) -> str:
    """Words that plotly cannot read as markup."""
    return words.replace("<", "‹").replace(">", "›").replace("&", "+")


def styled(figure: Any, *, height: int, legend: bool) -> Any:
    """The figure in the style of the page: no frame, no zoom, a legend above."""
    figure.update_layout(
        height=height, font=_FONT, paper_bgcolor="white", plot_bgcolor="white", showlegend=legend,
        margin={"l": 8, "r": 12, "t": 34, "b": 8}, hovermode="closest", dragmode=False,
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
    )  # fmt: skip
    figure.update_xaxes(gridcolor="#e6eaee", zeroline=False, fixedrange=True, automargin=True)
    figure.update_yaxes(gridcolor="#e6eaee", zeroline=False, fixedrange=True, automargin=True)
    return figure


def fragment(figure: Any, *, anchor: str) -> Markup:
    """A styled figure as a part of the page."""
    markup = figure.to_html(full_html=False, include_plotlyjs=False, config=CONFIG, div_id=anchor)
    return f'<div class="figure">{markup}</div>'

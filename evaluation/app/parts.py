"""The parts pages are built of, in the style of the report, as Dash components."""

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from evaluation.figures import CONFIG

Part = Any
SUPPRESSED = html.Span("suppressed", className="hidden")


def aria(**values: str) -> dict[str, Any]:
    """Attributes for a screen reader, which Dash takes by a name that Python cannot write."""
    return {f"aria-{name}": value for name, value in values.items()}


def facts(pairs: Sequence[tuple[str, str]]) -> Part:
    """The few large numbers of a page."""
    return html.Dl([html.Div([html.Dt(name), html.Dd(value)]) for name, value in pairs], className="facts")


def findings(sentences: Sequence[tuple[str, str]]) -> Part:
    """Findings in words, each with what it is about."""
    return html.Dl([html.Div([html.Dt(about), html.Dd(words)]) for about, words in sentences], className="findings")


def note(words: str) -> Part:
    return html.P(words, className="note")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, caption: str, words: int = 1) -> Part:
    """A table; the first ``words`` columns are text, the rest numbers to the right.

    One of words alone stacks on a telephone, one of numbers scrolls sideways if it must.
    """
    kinds = ["word" if place < words else "number" for place in range(len(columns))]
    head = html.Tr([html.Th(name, scope="col", className=kind) for name, kind in zip(columns, kinds, strict=True)])
    body = [html.Tr([html.Td(cell, className=kind) for cell, kind in zip(row, kinds, strict=True)]) for row in rows]
    shape = "stack" if words == len(columns) > 2 else "wide" if len(columns) > 5 else ""
    return html.Div(
        html.Table([html.Caption(caption), html.Thead(head), html.Tbody(body)], className=shape),
        className="scroll", tabIndex="0", role="region", **aria(label=caption),
    )  # fmt: skip


def graph(figure: Any, *, name: str, words: str) -> Part:
    """A figure that answers clicks; ``words`` say to a screen reader what the table below it says in full."""
    return html.Div(
        dcc.Graph(id=name, figure=figure, config=CONFIG, responsive=True, style={"height": figure.layout.height}),
        className="figure", role="img", **aria(label=words),
    )  # fmt: skip


def choice(label: str, *, name: str, options: Sequence[tuple[str, str]], value: str | None) -> Part:
    """A labelled menu of (value, word)."""
    return html.Div(
        [
            html.Label(label, htmlFor=name),
            dcc.Dropdown(
                id=name, value=value, clearable=False, searchable=False,
                options=[{"value": key, "label": word} for key, word in options],
            ),
        ],
        className="choice",
    )  # fmt: skip


def button(words: str, *, kind: str, key: str) -> Part:
    """A button that looks like a link; callbacks find it by ``kind``."""
    return html.Button(words, id={"kind": kind, "key": key}, className="link", n_clicks=0)


def section(title: str, *children: Any, anchor: str) -> Part:
    return html.Section([html.H2(title, id=f"{anchor}-title"), *children], **aria(labelledby=f"{anchor}-title"))

"""The dashboard's server: pages, callbacks, and a policy that forbids the browser every other host."""

import contextlib
import importlib
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

import dash
from dash import ALL, Input, Output, State, dcc, html
from werkzeug.serving import make_server

from evaluation.app import associations_page, cell_panel, census_page, drift_page, known_page, pictures, weights_page
from evaluation.app.parts import aria
from evaluation.app.style import STYLE as APP_STYLE
from evaluation.corpus import Corpus, read_corpus
from evaluation.page import STYLE, text
from ingest.disguise import Folder
from ingest.errors import BadInput
from ingest.workspace import Workspace

PAGES = {
    "/": "Corpus", "/weights": "Weights", "/associations": "Associations", "/known": "Known", "/drift": "Drift",
}  # fmt: skip
POLICY = (
    "default-src 'none'; connect-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; form-action 'none'"
)
"""Dash compiles its client-side functions, hence the eval; nothing comes from, or goes to, another host."""


_BRING_INTO_VIEW = """function (children) {
  if (children) {
    requestAnimationFrame(() => {
      const panel = document.getElementById("%s");
      panel.focus({preventScroll: true});
      panel.scrollIntoView({block: "start"});
    });
  }
  return window.dash_clientside.no_update;
}"""
"""A panel that opens takes the focus, so that keys and screen readers go on in it."""
_SAY_WHERE = """function (classes) {
  document.querySelectorAll("nav a.tab").forEach((tab, place) => {
    tab.removeAttribute("aria-current");
    if (classes[place] === "tab here") {
      tab.setAttribute("aria-current", "page");
      document.title = tab.innerText + " · " + document.querySelector("h1").innerText;
    }
  });
  return window.dash_clientside.no_update;
}"""
"""Tells a screen reader and the window's title which page is open; Dash's own links take no such attribute."""


def make_app(
    workspace: Workspace,
    *,
    title: str,
    image_roots: Mapping[str, Folder],
    identifiable: frozenset[str] = frozenset(),
) -> dash.Dash:
    """The application over a workspace; every page reads the tables as they stand when it is opened.

    image_roots: data set -> folder, only of those whose pictures the configuration allows to be shown.
    identifiable: data sets whose small cells are hidden where versions are compared on the spot.
    """
    importlib.import_module("plotly.graph_objects")  # half a second that the first page should not wait for
    app = dash.Dash(__name__, title=title, update_title="", suppress_callback_exceptions=True, assets_folder="")
    app.index_string = _document(title)
    app.layout = _frame(title)
    _route(app, workspace)
    _census_callbacks(app, workspace, image_roots)
    _other_callbacks(app, workspace, identifiable)

    app.server.after_request(_forbid)
    return app


def _forbid(response: Any) -> Any:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@contextlib.contextmanager
def serving(app: dash.Dash, *, port: int) -> Iterator[str]:
    """Serve on this machine only while the context is open; gives the address. Port 0 takes a free one.

    Raises: BadInput when another program holds the port.
    """
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    try:
        with socket.create_server(("127.0.0.1", port)) as listener:
            server = make_server("127.0.0.1", 0, app.server, threaded=True, fd=listener.fileno())
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield address
            finally:
                server.shutdown()
                thread.join()
    except OSError as error:
        raise BadInput(f"--port {port}: expected a free port, got {error.strerror or error}") from error


def _document(title: str) -> str:
    """The page around the application: readable before any script has run."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{text(title)}</title><style>{STYLE}{APP_STYLE}</style></head><body>"
        '<a class="skip" href="#main">Skip to the content</a>'
        "{%app_entry%}<footer>BiasCareVL. Served by this machine, for this machine; nothing leaves it.</footer>"
        "{%config%}{%scripts%}{%renderer%}</body></html>"
    ).replace("{{", "{").replace("}}", "}")  # fmt: skip


def _frame(title: str) -> Any:
    links = [html.Li(dcc.Link(word, href=path, className="tab", id={"tab": path})) for path, word in PAGES.items()]
    return html.Div(
        [
            dcc.Location(id="place"),
            html.Header([html.P("BiasCareVL", className="brand"), html.H1(title)]),
            html.Nav(html.Ul(links), id="pages", **aria(label="Pages")),
            html.Main(html.P("Reading the census …", className="waiting"), id="main", tabIndex="-1"),
        ]
    )


def _route(app: dash.Dash, workspace: Workspace) -> None:
    @app.callback(
        Output("main", "children"),
        Output({"tab": ALL}, "className"),
        Input("place", "pathname"),
        Input("place", "search"),
    )
    def show(path: str | None, search: str | None) -> tuple[Any, list[str]]:
        here = path if path in PAGES else "/"
        wanted = parse_qs((search or "").removeprefix("?")).get("attribute", [None])[0]
        corpus = read_corpus(workspace)
        return _page(here, workspace, corpus, wanted), ["tab here" if name == here else "tab" for name in PAGES]

    app.clientside_callback(_SAY_WHERE, Output("pages", "title"), Input({"tab": ALL}, "className"))


def _page(path: str, workspace: Workspace, corpus: Corpus, attribute: str | None) -> Any:
    if path == "/weights":
        return weights_page.layout(corpus, attribute=attribute)
    if path == "/associations":
        return associations_page.layout(corpus)
    if path == "/known":
        return known_page.layout(workspace, corpus)
    if path == "/drift":
        return drift_page.layout(workspace, corpus)
    return census_page.layout(corpus, attribute=attribute)


def _census_callbacks(app: dash.Dash, workspace: Workspace, image_roots: Mapping[str, Folder]) -> None:
    @app.callback(
        Output("shares", "children"),
        Input("attribute", "value"),
        Input("dataset", "value"),
        prevent_initial_call=True,
    )
    def choose(attribute: str, dataset: str) -> Any:
        return census_page.shares(read_corpus(workspace), attribute, dataset)

    @app.callback(
        Output("cell", "children"),
        Input("census-figure", "clickData"),
        Input({"kind": "level", "key": ALL}, "n_clicks"),
        State("attribute", "value"),
        prevent_initial_call=True,
    )
    def open_cell(click: Any, presses: list[int], attribute: str) -> Any:
        level = _chosen("census-figure", click, presses)
        if level is None:
            return None
        corpus = read_corpus(workspace)
        shown: list[str] = []
        if not _is_suppressed(corpus, attribute, level):
            shown = pictures.examples(workspace, image_roots, attribute=attribute, level=level)
        return cell_panel.panel(workspace, corpus, attribute=attribute, level=level, pictures=shown)

    app.clientside_callback(_BRING_INTO_VIEW % "cell", Output("cell", "title"), Input("cell", "children"))


def _other_callbacks(app: dash.Dash, workspace: Workspace, identifiable: frozenset[str]) -> None:
    @app.callback(Output("margins", "children"), Input("margin-attribute", "value"), prevent_initial_call=True)
    def choose_margin(attribute: str) -> Any:
        return weights_page.margins(read_corpus(workspace), attribute)

    @app.callback(
        Output("changes", "children"),
        Input("version-before", "value"),
        Input("version-after", "value"),
        Input("drift-attribute", "value"),
    )
    def choose_versions(before: str, after: str, attribute: str | None) -> Any:
        return drift_page.changes(
            workspace, read_corpus(workspace), before=int(before), after=int(after), attribute=attribute,
            identifiable=identifiable,
        )  # fmt: skip

    @app.callback(
        Output("pair", "children"),
        Input("pairs-figure", "clickData"),
        Input({"kind": "pair", "key": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def open_pair(click: Any, presses: list[int]) -> Any:
        key = _chosen("pairs-figure", click, presses)
        return None if key is None else associations_page.panel(workspace, read_corpus(workspace), key)

    app.clientside_callback(_BRING_INTO_VIEW % "pair", Output("pair", "title"), Input("pair", "children"))


def _chosen(figure: str, click: Any, presses: list[int]) -> str | None:
    """What was clicked: a mark of ``figure``, or a button; None when a page was only just built."""
    trigger = dash.ctx.triggered_id
    if trigger == figure:
        points = (click or {}).get("points", [])
        return str(points[0]["customdata"]) if points and points[0].get("customdata") is not None else None
    if isinstance(trigger, dict) and any(presses):
        return str(trigger["key"])
    return None


def _is_suppressed(corpus: Corpus, attribute: str, level: str) -> bool:
    return any(row["suppressed"] for row in corpus.counts if row["attribute"] == attribute and row["level"] == level)

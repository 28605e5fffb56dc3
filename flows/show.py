"""The dashboard over a configured workspace, served on this machine until it is interrupted."""

import time

from flows.config import Config
from ingest.errors import BadInput


def show_dashboard(config: Config, *, port: int) -> None:
    """Serve the live pages. Raises: BadInput without a census, without Dash, or where the port is taken."""
    if not (config.workspace.census / "counts.parquet").exists():
        raise BadInput(f"{config.workspace.census}: expected a census, got none; run `biascarevl refresh` first")
    try:
        from evaluation.app.server import make_app, serving
    except ImportError as error:
        raise BadInput(f"dashboard: expected Dash, got {error}; run `pip install 'biascarevl[app]'`") from error
    shown = config.dashboard.example_images
    roots = {dataset.name: dataset.pictures for dataset in config.datasets if dataset.name in shown}
    app = make_app(
        config.workspace,
        title=config.source.stem,
        image_roots=roots,
        identifiable=frozenset(config.identifiable),
    )
    with serving(app, port=port) as address:
        print(f"dashboard: {address}  (stop with Ctrl-C)", flush=True)
        while True:
            time.sleep(3600)

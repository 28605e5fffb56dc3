"""The dashboard in a real browser: every page, clicks and keys included; any complaint or outside request fails."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from ingest.workspace import Workspace

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def address(full_workspace: Workspace) -> Iterator[str]:
    pytest.importorskip("dash")
    from evaluation.app.server import make_app

    app = make_app(full_workspace, title="Small corpus", image_roots={})
    server = make_server("127.0.0.1", 0, app.server, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()

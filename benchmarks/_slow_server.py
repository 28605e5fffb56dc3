"""A local HTTP server of a folder that gives ranges, counts what it is asked for, and waits or fails as it is told.

    python -m benchmarks._slow_server FOLDER LATENCY_S

prints its URL and serves until its standard input ends; /.counts tells requests and bytes since it was last asked.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class SlowServer(ThreadingHTTPServer):
    """latency_s: before every answer. num_failures: so many answers to GET fail, each by the next of ``failures``.

    num_requests, num_bytes: what was asked for and sent. paths: of every request, with its query.
    """

    daemon_threads = True

    def __init__(self, folder: Path, *, latency_s: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.latency_s = folder, latency_s
        self.lock = threading.Lock()
        self.failures: list[str] = []
        self.gives_ranges = True
        self.num_requests, self.num_bytes = 0, 0
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is none of ours."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SlowServer

    def do_GET(self) -> None:
        server = self.server
        if self.path == "/.counts":
            self._tell_counts()
            return
        with server.lock:
            server.num_requests += 1
            server.paths.append(self.path)
            failure = server.failures.pop(0) if server.failures else ""
        time.sleep(server.latency_s)
        if failure == "reset":
            self.connection.close()
            self.close_connection = True
        elif failure.isdigit():
            self._head(int(failure), 0)
        else:
            self._give(is_short=failure == "short", is_cut=failure == "cut")

    def do_HEAD(self) -> None:
        path = self.server.folder / urlsplit(self.path).path.lstrip("/")
        if path.is_file():
            self._head(200, path.stat().st_size)
        else:
            self._head(404, 0)

    def _give(self, *, is_short: bool, is_cut: bool) -> None:
        path = self.server.folder / urlsplit(self.path).path.lstrip("/")
        if not path.is_file():
            self._head(404, 0)
            return
        size = path.stat().st_size
        start, stop, status = 0, size, 200
        if self.server.gives_ranges and (wanted := self.headers.get("Range")):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop, status = int(first), min(size, int(last) + 1 if last else size), 206
        if is_short:
            stop = start + (stop - start) // 2
        with path.open("rb") as stream:
            stream.seek(start)
            content = stream.read(stop - start)
        self._head(status, len(content), f"bytes {start}-{stop - 1}/{size}" if status == 206 else "")
        self.wfile.write(content[: len(content) // 2] if is_cut else content)
        with self.server.lock:
            self.server.num_bytes += len(content)
        self.close_connection = self.close_connection or is_cut

    def _tell_counts(self) -> None:
        server = self.server
        with server.lock:
            content = json.dumps({"requests": server.num_requests, "bytes": server.num_bytes}).encode()
            server.num_requests = server.num_bytes = 0
        self._head(200, len(content))
        self.wfile.write(content)

    def _head(self, status: int, length: int, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes" if self.server.gives_ranges else "none")
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path, *, latency_s: float = 0.0) -> Iterator[SlowServer]:
    """A server of ``folder`` on this machine, for as long as the block runs."""
    server = SlowServer(folder, latency_s=latency_s)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    with serving(Path(sys.argv[1]), latency_s=float(sys.argv[2])) as started:
        print(started.url, flush=True)
        sys.stdin.read()

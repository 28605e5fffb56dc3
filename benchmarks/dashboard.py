"""How soon the dashboard shows 3.44 M samples: first paint, first content and first figure of every page.

    python -m benchmarks.dashboard [--rows 3440000] [--workspace DIR]

Simulated rows are counted and weighed first, unless DIR holds a census already; then a headless Chromium opens
every page once, with an empty cache, from a server that has just started.
"""

import argparse
import json
import platform
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, sync_playwright

from benchmarks._large_corpus import LEVELS, NUM_ROWS, write_samples
from evaluation.app.server import PAGES, make_app, serving
from ingest.census import CensusConfig, take_census
from ingest.workspace import Workspace
from shards.targets import Target
from shards.weigh import WeightsConfig, weigh

RESULTS = Path(__file__).parent / "results" / "dashboard.json"
LIMIT_SECONDS = 2.0
CHROMIUM = "/usr/bin/chromium"
_FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"
_NOW = "performance.now() / 1000"


def prepare(workspace: Workspace, num_rows: int) -> None:
    """Samples, census and weights of the simulated corpus."""
    write_samples(workspace.samples, num_rows=num_rows, seed=1)
    take_census(workspace, CensusConfig(attributes=tuple(LEVELS)), identifiable=set())
    targets = {name: Target(toward="uniform", strength=0.4) for name in LEVELS}
    config = WeightsConfig(targets=targets, min_effective_share=0.1)
    weigh(workspace, config, attributes=[*LEVELS], max_repeats={}, num_epochs=1, draws_per_epoch=0)


def visit(browser: Browser, address: str) -> dict[str, float]:
    """Seconds from the request until something, the page's content, and its figure (where it has one) is drawn."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.wait_for_selector("main section")
    measured = {"first_paint": page.evaluate(_FIRST_PAINT), "content": page.evaluate(_NOW)}
    if page.locator(".js-plotly-plot, .dash-graph").count():
        page.wait_for_selector(".main-svg")
        measured["figure"] = page.evaluate(_NOW)
    page.close()
    return {name: round(seconds, 3) for name, seconds in measured.items()}


def measure(workspace: Workspace) -> dict[str, Any]:
    app = make_app(workspace, title="3.44 million rows", image_roots={})
    with serving(app, port=0) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        pages = {path: visit(browser, address + path) for path in PAGES}
        again = {path: visit(browser, address + path) for path in PAGES}
        browser.close()
    return {"seconds_first_visit": pages, "seconds_second_visit": again}


def main() -> None:
    """Measure once and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=NUM_ROWS)
    parser.add_argument("--workspace", type=Path)
    arguments = parser.parse_args()
    folder = arguments.workspace or Path(tempfile.mkdtemp(prefix="dashboard_"))
    workspace = Workspace(folder)
    try:
        if not workspace.census.exists():
            prepare(workspace, arguments.rows)
        measured = measure(workspace)
    finally:
        if arguments.workspace is None:
            shutil.rmtree(folder)
    first = measured["seconds_first_visit"]
    results = {
        "slowest_first_paint_of_limit": round(max(page["first_paint"] for page in first.values()) / LIMIT_SECONDS, 3),
        "limit_seconds": LIMIT_SECONDS,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpus": psutil.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "num_rows": arguments.rows,
        **measured,
    }
    text = json.dumps(results, indent=2)
    print(text)
    if arguments.rows == NUM_ROWS:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()

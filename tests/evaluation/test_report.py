"""The page: whole, silent, escaped, and readable on a desk and on a telephone."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from evaluation.report import write_bias_page, write_report
from ingest.workspace import Workspace


def opened(browser: Any, path: Path, *, width_px: int) -> tuple[Any, list[str]]:
    """The page in a browser window, and everything it complained about or asked the network for."""
    page = browser.new_page(viewport={"width": width_px, "height": 900})
    page.set_default_timeout(120_000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri())
    page.wait_for_function("!window.Plotly || [...document.querySelectorAll('.plotly-graph-div')].every(d => d.data)")
    return page, complaints


@pytest.mark.parametrize("width_px", [1280, 400])
def test_the_whole_report_opens_without_complaint_or_request(
    browser: Any, workspace: Workspace, tmp_path: Path, width_px: int
) -> None:
    path = write_report(workspace, run="small", out=tmp_path / "report.html", title="Small corpus")
    page, complaints = opened(browser, path, width_px=width_px)
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px
    assert page.locator(".js-plotly-plot").count() == 3
    for anchor in page.locator("nav a").all():
        assert page.locator(anchor.get_attribute("href")).count() == 1
    words = page.inner_text("body")
    for expected in ("1 shows a disparity", "40 persons", "suppressed", "missing", "better than the guess"):
        assert expected in words
    page.close()


def test_what_pictures_give_away_is_told_with_its_interval(full_workspace: Workspace, tmp_path: Path) -> None:
    page = write_report(full_workspace, run=None, out=tmp_path / "r.html", title="T").read_text()
    chapter = page.split('id="shortcuts"')[1].split("</section>")[0]
    for expected in ("2 of 90 chosen pictures did not open.", "0.30 to 0.50", "&lt; 0.001"):
        assert expected in chapter
    assert chapter.count("<i>suppressed</i>") == 6 and "missing on every row" not in chapter
    assert "Modality can be told from a picture at a glance (AUC 0.90) and goes with nevus" in page


def test_a_pair_that_is_suppressed_stands_last_and_says_so(full_workspace: Workspace, tmp_path: Path) -> None:
    page = write_report(full_workspace, run="small", out=tmp_path / "report.html", title="Small corpus").read_text()
    pairs = page[page.index("Pairs, strongest first") :]
    line = pairs[pairs.index("sex and label rare") :].split("</tr>")[0]
    assert line.count("suppressed") == 4 and pairs.index("sex and label rare") > pairs.index("sex and label nevus")


def test_the_first_key_press_reaches_the_skip_link(browser: Any, workspace: Workspace, tmp_path: Path) -> None:
    page, _ = opened(browser, write_report(workspace, run=None, out=tmp_path / "r.html", title="T"), width_px=800)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.close()


def test_data_cannot_become_markup(workspace: Workspace, tmp_path: Path) -> None:
    path = write_report(workspace, run="small", out=tmp_path / "report.html", title="<img src=x onerror=alert(1)>")
    page = path.read_text()
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_the_data_half_stands_alone_without_plotly(workspace: Workspace, tmp_path: Path) -> None:
    page = write_report(workspace, run=None, out=tmp_path / "data.html", title="Corpus").read_text()
    assert len(page) < 200_000
    assert "Weights certificate" in page and "Scores by group" not in page


def test_the_same_workspace_gives_the_same_bytes(workspace: Workspace, tmp_path: Path) -> None:
    pages = [write_report(workspace, run="small", out=tmp_path / name, title="T").read_bytes() for name in "ab"]
    assert pages[0] == pages[1]


def test_an_empty_workspace_still_gives_a_page(tmp_path: Path) -> None:
    path = write_report(Workspace(tmp_path / "empty"), run=None, out=tmp_path / "report.html", title="Nothing yet")
    assert "Nothing yet" in path.read_text()


def test_the_bias_page_adds_up_and_shows_persons(census: dict[str, Any], tmp_path: Path) -> None:
    page = write_bias_page(title="What is in it", out=tmp_path / "bias.html", **census).read_text()
    assert "rows in = samples + set aside" in page
    assert "40 persons, 40 rows" in page
    assert page.count("suppressed") >= 2


def test_hidden_numbers_of_persons_are_said_to_be_hidden(census: dict[str, Any], tmp_path: Path) -> None:
    hidden = census["persons"].to_pylist()
    hidden[0] |= {"num_rows": None, "num_persons": None}
    census["persons"] = pa.Table.from_pylist(hidden)
    page = write_bias_page(title="T", out=tmp_path / "bias.html", **census).read_text()
    assert "over 50" in page and "suppressed" in page


def test_a_row_that_is_lost_is_said_to_be_lost(census: dict[str, Any], tmp_path: Path) -> None:
    census["datasets"][0]["rows_in"] += 1
    page = write_bias_page(title="T", out=tmp_path / "bias.html", **census).read_text()
    assert "Not every row is accounted for in chest" in page


def test_nothing_here_imports_torch() -> None:
    code = "import sys, evaluation.evaluate, evaluation.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

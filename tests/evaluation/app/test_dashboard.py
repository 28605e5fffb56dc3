"""The dashboard in a real browser: every page, clicks and keys included; any complaint or outside request fails."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from PIL import Image

from ingest.census import CensusConfig, take_census
from ingest.errors import BadInput
from ingest.sample import Sample, to_table
from ingest.workspace import Workspace

pytest.importorskip("dash")
from evaluation.app import pictures
from evaluation.app.server import PAGES, make_app, serving


@pytest.fixture(scope="module")
def address(full_workspace_read_only: Workspace) -> Iterator[str]:
    with serving(make_app(full_workspace_read_only, title="Small <corpus>", image_roots={}), port=0) as address:
        yield address


class Visit:
    """A browser page on the dashboard, and everything it complained about or asked another host for."""

    def __init__(self, browser: Any, address: str, *, width_px: int) -> None:
        self.address, self.complaints = address, list[str]()
        self.page = browser.new_page(viewport={"width": width_px, "height": 900})
        self.page.set_default_timeout(120_000)  # a busy machine is slow, not wrong
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self._failed(request))
        self.page.on("response", lambda response: self._note(response))

    def _failed(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that is left stops what it was still loading
            self.complaints.append(f"{request.failure}: {request.url}")

    def _note(self, response: Any) -> None:
        outside = not response.url.startswith((self.address, "data:", "blob:"))
        if outside or response.status >= 400:
            self.complaints.append(f"{response.status} {response.url}")

    def open(self, path: str) -> Any:
        self.page.goto(self.address + path)
        self.page.wait_for_selector("main section")
        return self.page

    def drawn(self, figure: str) -> Any:
        return self.page.wait_for_selector(f"#{figure} .main-svg")


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    visit = Visit(browser, address, width_px=1280)
    yield visit
    visit.page.close()
    assert visit.complaints == []


def test_every_page_opens_at_both_widths(browser: Any, address: str) -> None:
    for width_px in (1280, 400):
        visit = Visit(browser, address, width_px=width_px)
        for path in PAGES:
            page = visit.open(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width_px, path
        page.close()
        assert visit.complaints == []


def test_a_bar_opens_its_cell_with_persons_intersections_and_margin(visit: Visit) -> None:
    page = visit.open("/")
    visit.drawn("census-figure")
    bar = page.locator("#census-figure .bars .point path").nth(2)  # from the bottom: other, missing, female
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + box["height"] / 2)
    page.wait_for_selector("#census-figure .hoverlayer .hovertext")
    page.mouse.click(box["x"] + 50, box["y"] + box["height"] / 2)
    page.wait_for_selector("#cell h3")
    cell = page.inner_text("#cell")
    assert "Sex: female" in cell
    for expected in ("modality dermoscopy", "In each data set", "Of the training rows", "nevus"):
        assert expected in cell
    assert page.evaluate("document.activeElement.id") == "cell"


def test_the_keyboard_reaches_a_level_and_opens_its_cell(visit: Visit) -> None:
    page = visit.open("/")
    page.locator("button.link", has_text="Female").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#cell h3")
    assert "Sex: female" in page.inner_text("#cell")


def test_choosing_an_attribute_redraws_and_suppressed_cells_say_so(visit: Visit) -> None:
    page = visit.open("/")
    page.click("#attribute")
    page.get_by_role("option", name="Age band").or_(page.get_by_text("Age band", exact=True)).first.click()
    page.wait_for_function("document.querySelector('#shares caption').innerText.startsWith('Age band')")
    shares = page.inner_text("#shares")
    assert shares.count("suppressed") >= 2 * 4
    page.locator("button.link", has_text="80+").click()
    page.wait_for_selector("#cell .hidden")
    assert "suppressed" in page.inner_text("#cell") and "persons" not in page.inner_text("#cell h3")


def test_the_reference_population_and_nobody_are_shown(visit: Visit) -> None:
    page = visit.open("/")
    words = page.inner_text("#shares")
    assert "city register" in words and "farther than chance" in words
    assert "Other" in words  # 3 % of the population, nobody here


def test_a_finding_leads_to_its_margin(visit: Visit) -> None:
    page = visit.open("/weights")
    page.locator("main a", has_text="Margin sex = female").click()
    page.wait_for_url("**/weights?attribute=sex")
    visit.drawn("margins-figure")
    words = page.inner_text("main")
    assert (
        "before weighting" in words
        and "inverse frequency" in words
        and "10.0\N{NO-BREAK SPACE}% can be reached" in words
    )
    page.locator("main a", has_text="Sex").first.click()
    page.wait_for_selector("#census-figure")


def test_a_pair_opens_its_cells(visit: Visit) -> None:
    page = visit.open("/associations")
    visit.drawn("pairs-figure")
    page.locator("button.link", has_text="Sex and modality").click()
    page.wait_for_selector("#pair h3")
    words = page.inner_text("#pair")
    assert "odds ratio 3.00" in words and "explained" in words and "suppressed" in words


def test_a_pair_that_is_suppressed_stands_last_and_says_so(visit: Visit) -> None:
    page = visit.open("/associations")
    visit.drawn("pairs-figure")
    last = page.locator("table", has=page.locator("caption", has_text="suppressed ones last")).locator("tbody tr").last
    assert last.inner_text().startswith("Sex and label rare") and last.inner_text().count("suppressed") == 5


def test_what_pictures_give_away_is_told(visit: Visit) -> None:
    page = visit.open("/associations")
    visit.drawn("shortcuts-figure")
    words = page.inner_text("section[aria-labelledby=shortcuts-title]")
    assert "2 of 90 chosen pictures did not open." in words and "missing on every row" not in words
    assert page.inner_text("tr:has-text('Modality and label nevus')").split()[4:8] == ["0.40", "0.30", "to", "0.50"]
    assert page.inner_text("tr:has-text('Modality and label rare')").count("suppressed") == 6
    found = visit.open("/weights").inner_text("tr:has-text('can be told from pictures')")
    assert "goes with label nevus (risk 0.40)" in found and "No target: add weights.targets.modality." in found


def test_the_open_page_is_marked_for_a_screen_reader(visit: Visit) -> None:
    marked = "[...document.querySelectorAll('nav [aria-current=page]')].map(tab => tab.innerText).join()"
    page = visit.open("/known")
    page.wait_for_function(f"{marked} === 'Known'")
    page.locator("nav a", has_text="Weights").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(f"{marked} === 'Weights'")
    assert page.title() == "Weights · Small <corpus>"


def test_sources_and_drift_are_told(visit: Visit) -> None:
    page = visit.open("/known")
    visit.drawn("sources-figure")
    assert "metadata" in page.inner_text("main") and "kVp" in page.inner_text("main")
    page.locator("nav a", has_text="Drift").click()
    page.wait_for_selector("#changes-figure")
    assert "+10.0 points" in page.inner_text("#changes") and "may be chance" in page.inner_text("#changes")


def test_any_two_versions_are_compared_where_the_census_did_not(browser: Any, tmp_path: Path) -> None:
    space = Workspace(tmp_path / "work")
    for sexes in (["female"] * 30 + ["male"] * 30, ["female"] * 30 + ["male"] * 30, ["female"] * 30 + ["male"] * 60):
        rows = [
            Sample(sample_id=f"{n:03}", dataset="a", native_id=str(n), patient_id=str(n), sex=sex, source_file="x")
            for n, sex in enumerate(sexes)
        ]
        write_deltalake(space.samples, to_table(rows), partition_by=["dataset"], mode="overwrite")
    take_census(space, CensusConfig(attributes=("sex",), num_resamples=100, intersections=0), identifiable=set())
    with serving(make_app(space, title="T", image_roots={}), port=0) as address:
        visit = Visit(browser, address, width_px=1280)
        page = visit.open("/drift")
        page.wait_for_selector("#changes-figure .main-svg")  # the last two versions: 30 men more
        assert "+16.7 points" in page.inner_text("#changes")
        page.click("#version-after")
        page.get_by_role("option", name="version 0").click()
        page.wait_for_function("document.querySelector('#changes caption').innerText.includes('version 0')")
        page.wait_for_selector("#changes table td")
        assert "+0.0 points" in page.inner_text("#changes")
        page.close()
        assert visit.complaints == []


def test_an_older_workspace_without_the_newer_tables_still_opens(
    browser: Any, workspace: Workspace, tmp_path: Path
) -> None:
    for space in (workspace, Workspace(tmp_path / "empty")):
        with serving(make_app(space, title="Old", image_roots={}), port=0) as address:
            visit = Visit(browser, address, width_px=800)
            for path in PAGES:
                visit.open(path)
            visit.page.close()
            assert visit.complaints == []


def test_the_server_forbids_other_hosts_and_takes_no_port_twice(full_workspace: Workspace) -> None:
    app = make_app(full_workspace, title="T", image_roots={})
    response = app.server.test_client().get("/")
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    with serving(app, port=0) as address:
        port = int(address.rsplit(":", 1)[1])
        with pytest.raises(BadInput, match="free port"), serving(app, port=port):
            pass


def test_example_pictures_come_from_allowed_data_sets_only(tmp_path: Path) -> None:
    space = Workspace(tmp_path / "work")
    rows = [
        Sample(sample_id=f"{name}{n}", dataset=name, native_id=str(n), image_uris=[f"{n}.png"], sex="female",
               image_status="present", source_file="x")
        for name in ("open", "closed") for n in range(2)
    ]  # fmt: skip
    write_deltalake(space.samples, to_table(rows), partition_by=["dataset"])
    (tmp_path / "raw").mkdir()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "raw" / "0.png")
    (tmp_path / "raw" / "1.png").write_bytes(b"broken")
    chosen = {"attribute": "sex", "level": "female"}
    assert pictures.examples(space, {}, **chosen) == []
    shown = pictures.examples(space, {"open": tmp_path / "raw"}, **chosen)
    assert len(shown) == 1 and shown[0].startswith("data:image/jpeg;base64,")
    assert pictures.examples(space, {"open": tmp_path / "raw"}, attribute="sex", level="male") == []


def test_pages_read_the_tables_as_they_stand(browser: Any, full_workspace: Workspace) -> None:
    with serving(make_app(full_workspace, title="T", image_roots={}), port=0) as address:
        visit = Visit(browser, address, width_px=800)
        assert "40.0" in visit.open("/").inner_text("#shares tr:has-text('Female')")
        counts = full_workspace.census / "counts.parquet"
        pq.write_table(pq.read_table(counts, filters=[("level", "!=", "female")]), counts)
        assert "0.0" in visit.open("/").inner_text("#shares tr:has-text('Female')").split()
        visit.page.close()
        assert visit.complaints == []

"""The report: what the stages left, read from the workspace and written as one page for two readers."""

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.corpus import Corpus, numbered, read_corpus
from evaluation.corpus_sections import corpus_facts, corpus_findings, corpus_sections
from evaluation.fairness import DELTA
from evaluation.figures import plotly_script
from evaluation.influence import GROUPS_NAME
from evaluation.page import Markup, Section, facts, findings, note, table, text, write_page
from evaluation.run_sections import Run, run_findings, run_sections
from ingest.workspace import Workspace

_LIBRARIES = (
    "biascarevl", "numpy", "scipy", "pyarrow", "duckdb", "deltalake", "pydantic", "great-expectations", "webdataset",
    "torch", "transformers", "deepspeed", "plotly", "prefect",
)  # fmt: skip


def write_report(workspace: Workspace, *, run: str | None, out: Path, title: str, num_pictures: int = 0) -> Path:
    """Write the self-contained page of a workspace at ``out``; ``run`` None gives the data half alone.

    What a stage has not produced yet is left out. ``num_pictures`` test overlays are shown; 0, the default,
    keeps every pixel of a patient out of the file.
    """
    corpus = read_corpus(workspace)
    chapters = corpus_sections(corpus, figures=run is not None)
    sentences = corpus_findings(corpus)
    if run is not None:
        found = read_run(workspace, run, num_pictures=num_pictures)
        chapters += run_sections(found)
        sentences = run_findings(found) + sentences
    chapters.append(Section("provenance", "Provenance", "Provenance", _provenance(workspace, run)))
    subtitle = f"Corpus and run {run}" if run else "Corpus"
    return write_page(
        out, title=title, subtitle=f"{subtitle}, {_last_finished(workspace)}",
        head=facts(corpus_facts(corpus)) + findings(sentences), sections=chapters,
        script=plotly_script() if run is not None else "",
    )  # fmt: skip


def write_bias_page(
    *,
    title: str,
    counts: pa.Table,
    persons: pa.Table,
    associations: pa.Table | None,
    datasets: list[dict[str, Any]],
    out: Path,
) -> Path:
    """Write the census part alone, from tables in memory.

    datasets: ``dataset, rows_in, samples, quarantined, by_reason`` each.
    """
    corpus = Corpus(
        datasets=datasets, counts=counts.to_pylist(), persons=persons.to_pylist(),
        associations=[] if associations is None else numbered(associations.to_pylist()),
    )  # fmt: skip
    return write_page(
        out, title=title, subtitle=f"What is in the data, {datetime.now(UTC):%d %B %Y}",
        head=facts(corpus_facts(corpus)) + findings(corpus_findings(corpus)),
        sections=corpus_sections(corpus, figures=False),
    )  # fmt: skip


def read_run(workspace: Workspace, run: str, *, num_pictures: int = 0) -> Run:
    """What a run left; empty where it has not been evaluated."""
    folder = workspace.runs / run
    gaps, review = folder / "gaps.parquet", folder / "review.parquet"
    stored = (pq.read_schema(gaps).metadata or {}) if gaps.exists() else {}
    pictures = sorted((folder / "visualization").glob("*.png"))[:num_pictures]
    return Run(
        name=run,
        losses=[line for line in _lines(folder / "train.jsonl") if isinstance(line.get("loss"), int | float)],
        scores=_rows(folder / "scores.parquet") or [],
        gaps=_rows(gaps) or [],
        baselines=_json(folder / "baselines.json") or {},
        delta=float(stored.get(b"delta", str(DELTA).encode())),
        pictures=[path.read_bytes() for path in pictures],
        influence=_rows(folder / GROUPS_NAME) or [],
        num_review=pq.read_metadata(review).num_rows if review.exists() else None,
    )


def _rows(path: Path) -> list[dict[str, Any]] | None:
    return pq.read_table(path).to_pylist() if path.exists() else None


def _json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def _stamps(workspace: Workspace) -> list[Path]:
    return sorted((workspace.root / "stages").glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def _last_finished(workspace: Workspace) -> str:
    """When the newest stage finished: the age of the numbers, not of the page."""
    stamps = _stamps(workspace)
    when = datetime.fromtimestamp(stamps[-1].stat().st_mtime, UTC) if stamps else datetime.now(UTC)
    return f"as of {when:%d %B %Y, %H:%M} UTC"


def _provenance(workspace: Workspace, run: str | None) -> Markup:
    stages = [
        [text(path.stem), f"<code>{text(json.loads(path.read_text())['digest'])}</code>"] for path in _stamps(workspace)
    ]
    body = note("The same digests give the same numbers.")
    body += table(["Stage", "Digest of its inputs"], stages, caption="Stages, in the order they finished", words=2)
    description = _json(workspace.runs / run / "run.json") if run else None
    if description is not None:
        keys = ("run", "seed", "digest")
        pairs = [[text(key), f"<code>{text(description[key])}</code>"] for key in keys if key in description]
        body += table(["Run", ""], pairs, caption="The run", words=2)
    libraries = [[text(name), text(number)] for name, number in _versions()]
    return body + table(["Library", "Version"], libraries, caption="Libraries that made this page", words=2)


def _versions() -> list[tuple[str, str]]:
    found = [("Python", platform.python_version())]
    for name in _LIBRARIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found

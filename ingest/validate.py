"""The contract of the samples table as a Great Expectations suite; a row that breaks it is set aside.

The expectations are the library's; DuckDB counts what breaks them, in one scan (the library's own engines take a
minute at 3.44 million rows), and the counts are handed back as the library's results. Its own Data Docs load scripts
from public CDNs, so the results page is rendered here, offline.
"""

import html
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from ingest.anatomy import Anatomy
from ingest.modality import Modality
from ingest.sample import AnswerType, ImageStatus, Sex, Source, Split, Task
from ingest.workspace import publishing, write_json

MAX_AGE_YEARS = 120

_VOCABULARIES: dict[str, type[StrEnum]] = {
    "split": Split, "task": Task, "image_status": ImageStatus, "modality": Modality, "anatomy": Anatomy,
    "modality_source": Source, "anatomy_source": Source, "sex": Sex, "answer_type": AnswerType,
}  # fmt: skip
_RANGES: dict[str, tuple[float | None, float | None]] = {
    "age_years": (0, MAX_AGE_YEARS),
    "skin_type": (1, 6),
    "width_px": (1, None),
    "height_px": (1, None),
    "mask_area_lowest": (0, None),
    "mask_area_highest": (None, 1),
}
_REQUIRED = ("sample_id", "dataset", "native_id", "source_file", "split", "task")
_TYPES = {
    **dict.fromkeys((*_REQUIRED, *_VOCABULARIES), "VARCHAR"),
    **dict.fromkeys(("skin_type", "width_px", "height_px", "source_row"), "BIGINT"),
    "age_years": "DOUBLE",
}
# Columns that the suite speaks of and the table does not have: SQL over its rows.
DERIVED: dict[str, str] = {
    "mask_area_lowest": "list_min(mask_area_fraction)",
    "mask_area_highest": "list_max(mask_area_fraction)",
    "masks_have_an_image": "mask_uri IS NULL OR len(image_uris) > 0",
    "targets_match_areas": "coalesce(len(mask_targets), 0) = coalesce(len(mask_area_fraction), 0)",
    "vqa_has_question_and_answer": f"task <> '{Task.VQA}' OR coalesce(question <> '' AND answer <> '', false)",
    # An empty list is an answer: none of the classes.
    "classes_have_a_label": f"task <> '{Task.CLASSIFICATION}' OR labels IS NOT NULL",
    "pictures_have_a_digest": f"image_status <> '{ImageStatus.PRESENT}' OR len(image_sha256) = len(image_uris)",
}
_RELATIONS = tuple(name for name in DERIVED if name not in _RANGES)


@dataclass(frozen=True)
class Check:
    """One expectation's outcome. ``failed`` are the ``pos`` of rows that break it, sorted."""

    expectation: str
    column: str
    num_checked: int
    failed: NDArray[np.int64]
    library_result: dict[str, Any]

    @property
    def success(self) -> bool:
        return not self.failed.size


@dataclass(frozen=True)
class _Rule:
    """An expectation of the library, and the SQL that is true for a row that breaks it."""

    expectation: Any
    breaks: str


def validate(connection: duckdb.DuckDBPyConnection) -> list[Check]:
    """Run the suite over the view ``rows`` of ``ingest.staging.connect_staged``."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx  # 3.4 s
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

    rules = list(rules_of(gx.expectations))
    columns = ", ".join(f"{sql} AS {name}" for name, sql in DERIVED.items())
    connection.execute(f"CREATE OR REPLACE TEMP VIEW checked AS SELECT *, {columns} FROM rows")
    counted = ", ".join(f"count(*) FILTER (WHERE {rule.breaks})" for rule in rules)
    num_rows, *numbers = connection.execute(f"SELECT count(*), {counted} FROM checked").fetchall()[0]
    checks = []
    for rule, number in zip(rules, numbers, strict=True):
        failed = _positions(connection, rule.breaks) if number else np.empty(0, np.int64)
        outcome = ExpectationValidationResult(
            success=not number,
            expectation_config=rule.expectation.configuration,
            result={"element_count": num_rows, "unexpected_count": int(number)},
        )
        configuration = rule.expectation.configuration
        checks.append(
            Check(configuration.type, configuration.kwargs["column"], num_rows, failed, outcome.to_json_dict())
        )
    return checks


def rules_of(expectations: Any) -> Iterator[_Rule]:
    """The suite, for the library's module ``expectations``."""
    yield _Rule(
        expectations.ExpectColumnValuesToBeUnique(column="sample_id"),
        "sample_id IN (SELECT sample_id FROM rows GROUP BY sample_id HAVING count(*) > 1)",
    )
    for name in _REQUIRED:
        yield _Rule(expectations.ExpectColumnValuesToNotBeNull(column=name), f"{name} IS NULL")
    for name, kind in _TYPES.items():
        broken = f"typeof({name}) <> '{kind}'"
        yield _Rule(expectations.ExpectColumnValuesToBeOfType(column=name, type_=kind), broken)
    for name, vocabulary in _VOCABULARIES.items():
        values = [str(value) for value in vocabulary]
        listed = ", ".join(f"'{value}'" for value in values)
        yield _Rule(
            expectations.ExpectColumnValuesToBeInSet(column=name, value_set=values), f"{name} NOT IN ({listed})"
        )
    for name, (low, high) in _RANGES.items():
        bounds = [f"{name} < {low}" if low is not None else "", f"{name} > {high}" if high is not None else ""]
        broken = " OR ".join(bound for bound in [*bounds, f"isnan({name}::DOUBLE)"] if bound)
        yield _Rule(expectations.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high), broken)
    for name in _RELATIONS:
        yield _Rule(expectations.ExpectColumnValuesToBeInSet(column=name, value_set=[True]), f"NOT {name}")


def _positions(connection: duckdb.DuckDBPyConnection, breaks: str) -> NDArray[np.int64]:
    found = connection.execute(f"SELECT pos FROM checked WHERE {breaks} ORDER BY pos").fetchnumpy()
    return np.asarray(found["pos"], np.int64)


def write_validation(folder: Path, checks: list[Check]) -> None:
    """Publish ``results.json``, the library's own results, and ``index.html``, a page for people that loads nothing."""
    lines = [
        {
            "expectation": check.expectation,
            "column": check.column,
            "success": check.success,
            "num_checked": check.num_checked,
            "num_failed": int(check.failed.size),
        }
        for check in checks
    ]
    with publishing(folder) as staged:
        staged.mkdir(parents=True)
        write_json(staged / "results.json", {"success": all(line["success"] for line in lines), "checks": lines})
        write_json(staged / "great_expectations.json", [check.library_result for check in checks])
        (staged / "index.html").write_text(_page(lines))


def _page(lines: list[dict[str, Any]]) -> str:
    cells = "\n".join(
        f"<tr class={'pass' if line['success'] else 'fail'}><td>{'passed' if line['success'] else 'failed'}</td>"
        f"<td>{html.escape(line['column'])}</td>"
        f"<td>{html.escape(line['expectation'].removeprefix('expect_').replace('_', ' '))}</td>"
        f"<td>{line['num_checked']:,}</td><td>{line['num_failed']:,}</td></tr>"
        for line in lines
    )
    failed = sum(line["num_failed"] for line in lines)
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Validation of the samples table</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}}
table{{border-collapse:collapse;width:100%}}td,th{{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dde3}}
.pass td:first-child{{color:#00694a}}.fail td{{background:#fdf0e6}}.fail td:first-child{{color:#a63c00;font-weight:600}}
</style><h1>Validation of the samples table</h1>
<p>{len(lines)} checks, {failed:,} rows set aside. Rows that fail are in quarantine with their reason.</p>
<table><tr><th>Outcome</th><th>Column</th><th>Expectation</th><th>Rows checked</th><th>Rows failed</th></tr>
{cells}</table></html>
"""

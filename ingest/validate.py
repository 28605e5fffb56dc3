"""The contract of the samples table as a Great Expectations suite; a row that breaks it is set aside.

The library's own Data Docs load scripts from public CDNs, so the results page is rendered here, offline.
"""

import html
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

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
_RELATIONS = (
    "masks_have_an_image",
    "targets_match_areas",
    "vqa_has_question_and_answer",
    "classes_have_a_label",
)


@dataclass(frozen=True)
class Check:
    """One expectation's outcome. ``failed_rows`` are positions in the table."""

    expectation: str
    column: str
    num_checked: int
    failed_rows: list[int]

    @property
    def success(self) -> bool:
        return not self.failed_rows


def validate(samples: pa.Table) -> list[Check]:
    """Run the suite over samples with their splits assigned."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx  # 3.4 s

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    asset = context.data_sources.add_pandas("samples").add_dataframe_asset("samples")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": _frame(samples)})
    suite = gx.ExpectationSuite(name="samples", expectations=_expectations(gx.expectations))
    # Positions alone: a result that carried values would carry patient data into the page.
    result_format: Any = {"result_format": "COMPLETE", "unexpected_index_column_names": ["row"]}
    outcome = batch.validate(suite, result_format=result_format)
    return [_check(result) for result in outcome.results]


def _frame(samples: pa.Table) -> pd.DataFrame:
    """The columns the suite speaks of, and the relations between columns as truth values."""
    plain = list(
        dict.fromkeys([*_REQUIRED, *_VOCABULARIES, *(name for name in _RANGES if name in samples.schema.names)])
    )
    frame = samples.select(plain).to_pandas()
    columns = (
        "task",
        "question",
        "answer",
        "labels",
        "image_uris",
        "mask_uri",
        "mask_targets",
        "mask_area_fraction",
    )
    rows = list(zip(*(samples[name].to_pylist() for name in columns), strict=True))
    frame["mask_area_lowest"] = [min(row[7]) if row[7] else None for row in rows]
    frame["mask_area_highest"] = [max(row[7]) if row[7] else None for row in rows]
    frame["masks_have_an_image"] = [not row[5] or bool(row[4]) for row in rows]
    frame["targets_match_areas"] = [len(row[6] or ()) == len(row[7] or ()) for row in rows]
    frame["vqa_has_question_and_answer"] = [row[0] != Task.VQA or bool(row[1] and row[2]) for row in rows]
    # An empty list is an answer: none of the classes.
    frame["classes_have_a_label"] = [row[0] != Task.CLASSIFICATION or row[3] is not None for row in rows]
    frame["row"] = range(len(frame))
    return frame


def _expectations(expectations: Any) -> list[Any]:
    return [
        expectations.ExpectColumnValuesToBeUnique(column="sample_id"),
        *(expectations.ExpectColumnValuesToNotBeNull(column=name) for name in _REQUIRED),
        *(
            expectations.ExpectColumnValuesToBeInSet(column=name, value_set=[str(value) for value in vocabulary])
            for name, vocabulary in _VOCABULARIES.items()
        ),
        *(
            expectations.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high)
            for name, (low, high) in _RANGES.items()
        ),
        *(expectations.ExpectColumnValuesToBeInSet(column=name, value_set=[True]) for name in _RELATIONS),
    ]


def _check(result: Any) -> Check:
    if result.exception_info.get("raised_exception"):
        raise RuntimeError(f"Great Expectations failed on {result.expectation_config}: {result.exception_info}")
    detail = result.result
    rows = sorted({int(entry["row"]) for entry in detail.get("unexpected_index_list") or ()})
    return Check(
        expectation=result.expectation_config.type,
        column=result.expectation_config.kwargs["column"],
        num_checked=int(detail.get("element_count", 0)),
        failed_rows=rows,
    )


def write_validation(folder: Path, checks: list[Check]) -> None:
    """Publish ``results.json`` and a page for people, ``index.html``, which loads nothing."""
    lines = [
        {
            "expectation": check.expectation,
            "column": check.column,
            "success": check.success,
            "num_checked": check.num_checked,
            "num_failed": len(check.failed_rows),
        }
        for check in checks
    ]
    with publishing(folder) as staged:
        staged.mkdir(parents=True)
        write_json(staged / "results.json", {"success": all(line["success"] for line in lines), "checks": lines})
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

"""From staged datasets to one corpus: split, validate, guard, and publish as one version.

Writes quarantine, validation and leakage first and the samples table last; a reader of the previous
version is never disturbed.
"""

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

from ingest.errors import BadInput
from ingest.leakage import Action, GatesConfig, guard
from ingest.quarantine import QUARANTINE_SCHEMA, Reason
from ingest.read import DatasetConfig, SplitPolicy, staged_paths
from ingest.sample import COLUMNS, SCHEMA
from ingest.split import Move, assign_splits
from ingest.validate import Check, validate, write_validation
from ingest.workspace import Workspace, publishing

_DROPPED = (Action.DROPPED_FROM_TRAIN, Action.DROPPED_FROM_VALIDATION)


def curate(workspace: Workspace, datasets: list[DatasetConfig], gates: GatesConfig) -> dict[str, Any]:
    """Publish the samples of all datasets.

    Returns: ``num_samples``, ``num_quarantined``, ``samples_version``, per dataset the rows in and out,
    and the leakage findings by kind and action.
    Raises: GateRefused under ``refuse``; nothing is published then.
    """
    samples, moves = _split(workspace, datasets)
    checks = validate(samples)
    samples, invalid = _without_invalid(samples, checks)
    ledger = guard(samples, moves, gates)
    samples, leaked = _without_leaked(samples, ledger)
    rejected = [pq.read_table(staged_paths(workspace, dataset.name)[1]) for dataset in datasets]
    quarantine = pa.concat_tables([*rejected, invalid, leaked]).cast(QUARANTINE_SCHEMA)
    if samples.num_rows == 0:
        raise BadInput("expected samples that pass validation, got none")
    write_validation(workspace.validation, checks)
    with publishing(workspace.leakage) as staged:
        pq.write_table(ledger, staged)
    version = _publish(workspace, samples, quarantine)
    return {
        "num_samples": samples.num_rows,
        "num_quarantined": quarantine.num_rows,
        "samples_version": version,
        "datasets": {dataset.name: _rows_of(dataset.name, samples, quarantine) for dataset in datasets},
        "leakage": _counts(zip(ledger["kind"].to_pylist(), ledger["action"].to_pylist(), strict=True)),
    }


def _split(workspace: Workspace, datasets: list[DatasetConfig]) -> tuple[pa.Table, list[Move]]:
    """All staged samples with their splits, and what the grouping moved."""
    tables, moves = [], []
    columns = ["sample_id", "dataset", "split", "patient_id", "study_id", "figure_id", "image_sha256"]
    for dataset in datasets:
        table = pq.read_table(staged_paths(workspace, dataset.name)[0])
        splits, moved = assign_splits(table.select(columns).to_pylist(), grouped=dataset.split == SplitPolicy.GROUPED)
        position = table.schema.get_field_index("split")
        tables.append(table.set_column(position, SCHEMA.field("split"), pa.array(splits, pa.string())))
        moves += moved
    return pa.concat_tables(tables), moves


def _without_invalid(samples: pa.Table, checks: list[Check]) -> tuple[pa.Table, pa.Table]:
    """The rows that pass every check, and the others as quarantine rows naming what they failed."""
    reasons: dict[int, list[str]] = {}
    for check in checks:
        for row in check.failed_rows:
            reasons.setdefault(row, []).append(f"{check.column}: {check.expectation}")
    failed = pa.array(sorted(reasons), pa.int64())
    details = ["; ".join(reasons[row]) for row in sorted(reasons)]
    keep = pc.invert(pc.is_in(pa.array(range(samples.num_rows), pa.int64()), value_set=failed))
    return samples.filter(keep), _quarantined(samples.take(failed), Reason.FAILED_VALIDATION, details)


def _without_leaked(samples: pa.Table, ledger: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows the guard leaves in, and those it drops as quarantine rows naming the kind."""
    dropped = ledger.filter(pc.is_in(ledger["action"], value_set=pa.array(_DROPPED, pa.string())))
    kinds: dict[str, list[str]] = {}
    for row in dropped.to_pylist():
        kinds.setdefault(row["sample_id"], []).append(f"{row['kind']} also in {row['other_split']}")
    leaves = pc.is_in(samples["sample_id"], value_set=pa.array(list(kinds), pa.string()))
    leaked = samples.filter(leaves)
    details = ["; ".join(kinds[sample_id]) for sample_id in leaked["sample_id"].to_pylist()]
    return samples.filter(pc.invert(leaves)), _quarantined(leaked, Reason.LEAKAGE, details)


def _quarantined(rows: pa.Table, reason: Reason, details: list[str]) -> pa.Table:
    table = rows.select(COLUMNS)
    reasons = pa.array([str(reason)] * table.num_rows, pa.string())
    columns = [*table.columns, reasons, pa.array(details, pa.string())]
    return pa.Table.from_arrays(columns, schema=QUARANTINE_SCHEMA)


def _publish(workspace: Workspace, samples: pa.Table, quarantine: pa.Table) -> int:
    """Commit both Delta tables, quarantine first. Returns the version of samples/."""
    for path, table in ((workspace.quarantine, quarantine), (workspace.samples, samples.select(COLUMNS))):
        ordered = table.sort_by([("dataset", "ascending"), ("sample_id", "ascending")])
        write_deltalake(path, ordered, mode="overwrite", schema_mode="overwrite", partition_by=["dataset"])
    return DeltaTable(workspace.samples).version()


def _rows_of(name: str, samples: pa.Table, quarantine: pa.Table) -> dict[str, Any]:
    num_samples = pc.sum(pc.equal(samples["dataset"], name)).as_py()
    reasons = quarantine.filter(pc.equal(quarantine["dataset"], name))["reason"].to_pylist()
    return {
        "rows_in": num_samples + len(reasons),
        "samples": num_samples,
        "quarantined": len(reasons),
        "by_reason": _counts((reason,) for reason in reasons),
    }


def _counts(keys: Any) -> dict[str, int]:
    """How often each tuple of words occurs, the words joined by a colon, sorted."""
    return dict(sorted(Counter(":".join(key) for key in keys).items()))

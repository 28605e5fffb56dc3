"""From staged datasets to one corpus: split, validate, guard, and publish as one version.

Only columns that decide are ever looked at for all rows at once; the rows themselves stream from the staged files
into the tables. Writes validation and leakage first, then quarantine, the samples table last: a reader of the
previous version is never disturbed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest.attributes import fetch
from ingest.dataset_config import DatasetConfig, SplitPolicy
from ingest.errors import BadInput
from ingest.leakage import DROPPED, GatesConfig, guard
from ingest.publish import Outcome, publish
from ingest.quarantine import Reason
from ingest.split import MOVES_SCHEMA, SPLIT_COLUMNS, assign_splits
from ingest.staging import Staged, connect_staged, first_of, staged_of
from ingest.validate import Check, validate, write_validation
from ingest.workspace import Workspace, digest_of, publishing

ASIDE_SCHEMA = pa.schema([("pos", pa.int64()), ("reason", pa.string()), ("detail", pa.string())])
_DIGEST = b"biascarevl.digest"


@dataclass(frozen=True)
class _Split:
    """A staged dataset with the split of each of its rows, and what the grouping moved."""

    staged: Staged
    digest: str
    splits: pa.Array
    moves: pa.Table


def curate(
    workspace: Workspace, datasets: Sequence[DatasetConfig], gates: GatesConfig, *, digests: Mapping[str, str]
) -> dict[str, Any]:
    """Publish the samples of all datasets.

    Args: digests: of what was read, by dataset; rows of a dataset that come out as before are not written again.
    Returns: ``num_samples``, ``num_quarantined``, the versions of both tables and the datasets written to each, per
    dataset the rows in and out, and the leakage findings by kind and action.
    Raises: GateRefused as ``guard`` does; nothing is published then.
    """
    parts = [_split(workspace, dataset, digests[dataset.name]) for dataset in datasets]
    connection = connect_staged([part.staged.samples for part in parts], [part.splits for part in parts])
    checks = validate(connection)
    invalid = _invalid(checks)
    _forget(connection, invalid)
    moves = pa.concat_tables([_moves_of(part) for part in parts])
    forced = {dataset.name for dataset in datasets if dataset.split == SplitPolicy.OFFICIAL}
    ledger = guard(connection, moves, gates, forced=forced)
    aside = pa.concat_tables([invalid, _leaked(connection, ledger)]).sort_by("pos")
    outcomes = [_outcome(part, number, aside) for number, part in enumerate(parts)]
    if not any(outcome.num_samples for outcome in outcomes):
        raise BadInput("expected samples that pass validation, got none")
    write_validation(workspace.validation, checks)
    with publishing(workspace.leakage) as staged:
        pq.write_table(ledger, staged)
    rows = {outcome.staged.name: outcome.rows() for outcome in outcomes}
    return {
        "num_samples": sum(each["samples"] for each in rows.values()),
        "num_quarantined": sum(each["quarantined"] for each in rows.values()),
        **publish(workspace, outcomes),
        "datasets": rows,
        "leakage": _counts(ledger),
    }


def _split(workspace: Workspace, dataset: DatasetConfig, digest: str) -> _Split:
    """The dataset's splits; those of an unchanged dataset are kept from the last time."""
    staged = staged_of(workspace, dataset.name)
    wanted = digest_of([digest, dataset.split])
    if staged.splits.exists() and staged.moves.exists():
        splits, moves = pq.read_table(staged.splits), pq.read_table(staged.moves)
        if all((table.schema.metadata or {}).get(_DIGEST) == wanted.encode() for table in (splits, moves)):
            return _Split(staged, wanted, splits["split"].combine_chunks(), moves)
    table = pq.read_table(staged.samples, columns=list(SPLIT_COLUMNS))
    splits, moves = assign_splits(table, grouped=dataset.split == SplitPolicy.GROUPED)
    for path, content in ((staged.splits, pa.table({"split": splits})), (staged.moves, moves)):
        with publishing(path) as unpublished:
            pq.write_table(content.replace_schema_metadata({_DIGEST: wanted.encode()}), unpublished)
    return _Split(staged, wanted, splits, moves)


def _moves_of(part: _Split) -> pa.Table:
    names = pa.array([part.staged.name] * part.moves.num_rows, pa.string())
    return part.moves.select(MOVES_SCHEMA.names).replace_schema_metadata().append_column("dataset", names)


def _invalid(checks: list[Check]) -> pa.Table:
    """The rows that break the contract, each with the columns that did (ASIDE_SCHEMA)."""
    broken: dict[int, list[str]] = {}
    for check in checks:
        for pos in check.failed.tolist():
            broken.setdefault(pos, []).append(f"{check.column}: {check.expectation}")
    details = ["; ".join(broken[pos]) for pos in sorted(broken)]
    reasons = [str(Reason.FAILED_VALIDATION)] * len(details)
    return pa.table([sorted(broken), reasons, details], schema=ASIDE_SCHEMA)


def _forget(connection: duckdb.DuckDBPyConnection, invalid: pa.Table) -> None:
    """Take rows out of the view ``rows``: what breaks the contract leaks nothing."""
    connection.register("invalid", invalid)
    connection.execute("DELETE FROM splits WHERE pos IN (SELECT pos FROM invalid)")
    connection.unregister("invalid")


def _leaked(connection: duckdb.DuckDBPyConnection, ledger: pa.Table) -> pa.Table:
    """The rows the guard takes out, each with the kinds it was found under (ASIDE_SCHEMA)."""
    dropped = ledger.filter(pc.is_in(ledger["action"], value_set=pa.array(DROPPED, pa.string())))
    connection.register("dropped", dropped)
    leaked = fetch(
        connection,
        f"SELECT pos, '{Reason.LEAKAGE}' AS reason, string_agg(kind || ' also in ' || other_split, '; ' ORDER BY kind) "
        "AS detail FROM dropped JOIN rows USING (sample_id) GROUP BY pos ORDER BY pos",
    )
    connection.unregister("dropped")
    return leaked.cast(ASIDE_SCHEMA)


def _outcome(part: _Split, number: int, aside: pa.Table) -> Outcome:
    """What becomes of each row of dataset ``number``."""
    positions = aside["pos"].to_numpy()
    start, stop = np.searchsorted(positions, [first_of(number), first_of(number + 1)])
    own = aside.slice(start, stop - start).combine_chunks()
    rows = positions[start:stop] - first_of(number)
    return Outcome(part.staged, part.digest, part.splits, rows, own["reason"], own["detail"])


def _counts(ledger: pa.Table) -> dict[str, int]:
    """Findings by kind and action, the two words joined by a colon, sorted."""
    pairs = pc.binary_join_element_wise(ledger["kind"], ledger["action"], ":")
    return dict(sorted((entry["values"], entry["counts"]) for entry in pairs.value_counts().to_pylist()))

"""What scores may not tell: figures of groups of few persons of identifiable data sets (``ingest.census.disclosure``).

The rows that a table of scores is made of are a part of the corpus beside the census of the whole: one rule hides both.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.rows import EVERYTHING, level_column
from ingest.attributes import connect_table, fetch
from ingest.census.disclosure import Cell, Part, hidden_in_part
from ingest.sample import PERSON_COLUMNS, PERSON_HASH_SQL, SCHEMA


@dataclass(frozen=True)
class Guard:
    """Whose figures are hidden. samples: rows of identifiable data sets alone, with their ``person``; may be none."""

    samples: pa.Table
    below: int
    _known: dict[str, tuple[pa.Table, Part]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, samples: pa.Table, *, identifiable: Collection[str], below: int) -> "Guard":
        """samples: every row of the corpus. Person columns that it lacks count as empty."""
        guarded = samples.filter(pc.is_in(samples["dataset"], value_set=pa.array(sorted(identifiable), pa.string())))
        complete = guarded
        for name in set(PERSON_COLUMNS) - set(guarded.column_names):
            complete = complete.append_column(name, pa.nulls(len(guarded), SCHEMA.field(name).type))
        persons = fetch(connect_table(complete), f"SELECT {PERSON_HASH_SQL} AS person FROM raw_samples")["person"]
        return cls(guarded.append_column("person", persons), below)

    def hidden(self, attribute: str, sample_ids: Collection[Any]) -> set[Cell]:
        """(level, data set) that may not be told of the rows ``sample_ids``; ``__all__``: of all data sets together.

        attribute ``__all__``: everybody is its one level.
        """
        if not self.samples.num_rows:
            return set()
        rows, whole = self._levelled(attribute)
        chosen = pc.is_in(rows["sample_id"], value_set=pa.array(sorted(set(sample_ids)), pa.string()))
        hidden = hidden_in_part(_counted(rows.filter(chosen)), whole, adds_up=True, below=self.below)
        return hidden | {(level, EVERYTHING) for level, _ in hidden}

    def hidden_groups(self, groups: Sequence[str], sample_ids: Sequence[str], *, exclusive: bool) -> set[str]:
        """Which of some groups of rows, one name per row, may not be told; exclusive: no row is in two groups."""
        if not self.samples.num_rows:
            return set()
        mine = self.samples.select(["sample_id", "dataset", "person"])
        named = pa.table([pa.array(sample_ids, pa.string()), pa.array(groups, pa.string())], ["sample_id", "level"])
        found = _counted(named.join(mine, "sample_id", join_type="inner"))
        return {level for level, _ in hidden_in_part(found, found, adds_up=exclusive, below=self.below)}

    def _levelled(self, attribute: str) -> tuple[pa.Table, Part]:
        """Every row with its ``level`` of an attribute, and the persons at each; made once."""
        if attribute in self._known:
            return self._known[attribute]
        levels = np.full(self.samples.num_rows, EVERYTHING, dtype=object)
        if attribute != EVERYTHING:
            names = [name for name in self.samples.column_names if name != "person"]
            levels = level_column({name: self.samples[name].to_pylist() for name in names}, attribute)
        rows = self.samples.select(["sample_id", "dataset", "person"])
        rows = rows.append_column("level", pa.array(levels.tolist(), pa.string()))
        self._known[attribute] = rows, _counted(rows)
        return self._known[attribute]


def _counted(rows: pa.Table) -> Part:
    """Distinct persons of ``level, dataset, person``."""
    counted = rows.group_by(["level", "dataset"]).aggregate([("person", "count_distinct")]).to_pylist()
    totals = rows.group_by(["dataset"]).aggregate([("person", "count_distinct")]).to_pylist()
    return Part(
        {(row["level"], row["dataset"]): row["person_count_distinct"] for row in counted},
        {row["dataset"]: row["person_count_distinct"] for row in totals},
    )

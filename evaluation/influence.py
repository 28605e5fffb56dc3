"""Who moved a run's weights, group by group: the sampling weights' share beside the losses' (METHODS 3)."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evaluation.rows import level_column
from evaluation.suppression import Guard
from ingest.workspace import publishing
from model.influence import influence_by_group

GROUPS_NAME = "influence_groups.parquet"
GROUPS_SCHEMA = pa.schema(
    [("attribute", pa.string()), ("level", pa.string()), ("draws", pa.float64()), ("influence", pa.float64())]
)


def write_influence(folder: Path, samples: pa.Table, attributes: list[str], *, guard: Guard | None = None) -> None:
    """``influence_groups.parquet`` from a run's ``influence.parquet``; nothing where the run kept no log.

    Columns: attribute, level, and of all draws that level's share of the draws and of the influence; null where
    ``guard`` hides them.
    """
    path = folder / "influence.parquet"
    if not path.exists():
        return
    drawn = pq.read_table(path)
    samples = samples.filter(pc.is_in(samples["sample_id"], value_set=drawn["sample_id"]))
    column = {name: samples[name].to_pylist() for name in samples.column_names}
    rows = []
    for attribute in attributes:
        levels = pa.table({"sample_id": samples["sample_id"], attribute: level_column(column, attribute).tolist()})
        shares = influence_by_group(drawn, levels, attribute)
        closed = {level for level, _ in guard.hidden(attribute, drawn["sample_id"].to_pylist())} if guard else set()
        for level in sorted({*shares, *closed}):
            rows.append({"attribute": attribute, "level": level, **({} if level in closed else shares[level])})
    with publishing(folder / GROUPS_NAME) as staged:
        pq.write_table(pa.Table.from_pylist(rows, schema=GROUPS_SCHEMA), staged)

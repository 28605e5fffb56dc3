"""Which pictures the census looks at: one per person, data sets and modalities in equal parts, chosen by a hash."""

from collections.abc import Collection, Sequence

import duckdb
import pyarrow as pa

from ingest.attributes import fetch, level_sql, quoted
from ingest.sample import PERSON_HASH_SQL, ImageStatus


def sample_pictures(
    connection: duckdb.DuckDBPyConnection,
    attributes: Sequence[str],
    datasets: Collection[str],
    *,
    number: int,
    seed: int,
) -> pa.Table:
    """At most ``number`` rows: dataset, uri, picture (SHA-256), width_px, height_px, and ``level_<attribute>``.

    Each data set and modality gives as many as every other, as far as it has them. Rows of one person are no
    independent witnesses: one of them stands for it. Attributes with one level per row only.
    """
    names = ", ".join(f"'{quoted(name)}'" for name in sorted(datasets)) or "NULL"
    key = f"hash(sample_id, {seed})"
    chosen = (
        f"WITH shown AS (SELECT {PERSON_HASH_SQL} AS person, dataset, modality, {key} AS key FROM samples "
        f"WHERE image_status = '{ImageStatus.PRESENT}' AND image_sha256[1] IS NOT NULL AND dataset IN ({names})), "
        "one AS (SELECT min(key) AS key, arg_min(dataset, key) AS dataset, arg_min(modality, key) AS modality "
        "FROM shown GROUP BY person), "
        "placed AS (SELECT key, row_number() OVER (PARTITION BY dataset, modality ORDER BY key) AS place FROM one) "
        f"SELECT key FROM placed ORDER BY place, key LIMIT {number}"
    )
    levels = "".join(f", {level_sql(name)} AS level_{name}" for name in attributes)
    return fetch(
        connection,
        f"SELECT dataset, image_uris[1] AS uri, image_sha256[1] AS picture, width_px, height_px{levels} "
        f"FROM samples WHERE {key} IN ({chosen}) ORDER BY {key}",
    )

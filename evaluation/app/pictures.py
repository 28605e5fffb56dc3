"""Example pictures behind a cell, of data sets that the configuration names and no others."""

import base64
import io
from collections.abc import Mapping

from ingest.attributes import ATTRIBUTES, connect_samples, level_sql
from ingest.disguise import Folder
from ingest.images import read_picture
from ingest.pixels import CorruptImage
from ingest.sample import ImageStatus
from ingest.workspace import Workspace

NUM_PICTURES = 6
SIDE_PX = 160


def examples(workspace: Workspace, roots: Mapping[str, Folder], *, attribute: str, level: str) -> list[str]:
    """Up to six small pictures as data URLs, in the order of sample ids (hashes, so no choice of ours).

    roots: data set -> folder, only of those whose pictures may be shown. A picture that does not decode is left out.
    """
    if not roots or not workspace.samples.exists():
        return []
    sql = level_sql(attribute)
    holds = f"list_contains({sql}, ?)" if ATTRIBUTES[attribute].is_list else f"{sql} = ?"
    allowed = ", ".join("?" for _ in roots)
    rows = (
        connect_samples(workspace.samples)
        .execute(
            f"SELECT dataset, image_uris[1] FROM samples WHERE {holds} AND dataset IN ({allowed}) "
            f"AND image_status = '{ImageStatus.PRESENT}' ORDER BY sample_id LIMIT {NUM_PICTURES}",
            [level, *roots],
        )
        .fetchall()
    )
    found = []
    for dataset, uri in rows:
        try:
            picture = read_picture(roots[dataset] / uri, side_px=SIDE_PX)
        except (CorruptImage, OSError):
            continue
        stream = io.BytesIO()
        picture.convert("RGB").save(stream, "JPEG", quality=80)
        found.append(f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}")
    return found

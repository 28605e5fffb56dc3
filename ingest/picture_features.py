"""What a picture gives away at a glance: grey levels, size, shape, and text in its corners.

Coarse on purpose: what stands here any network picks up in passing. ``picture_features.parquet`` in the workspace keeps
the features by picture content (SHA-256), so that a refresh opens only pictures it has not seen; it may be deleted.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from ingest.burned_in import has_edge_text
from ingest.disguise import Folder
from ingest.errors import BadInput
from ingest.images import read_picture
from ingest.pixels import CorruptImage
from ingest.workspace import publishing

SIDE_PX = 256
NUM_BINS = 64
CORNER_HEIGHT, CORNER_WIDTH = 0.15, 0.3
"""A corner, as a share of the picture."""
_BRIGHT, _STEP = 200, 60  # printed text is bright, and its strokes are steps of this many grey levels
_VERSION = b"1"
FEATURES_SCHEMA = pa.schema(
    [("picture", pa.string()), ("features", pa.list_(pa.float32()))], metadata={"features": _VERSION}
)
Features = NDArray[np.float32]


def features_of(picture: Image.Image) -> Features:
    """[74] roots of the shares of 64 grey levels, log of width over height, per corner edges and bright pixels, text.

    Of a picture whose longest side is at most SIDE_PX. (G-AUDIT: Drenkow et al. 2025, cheap features of a picture.)
    """
    grey_HW = np.asarray(picture.convert("L"))
    height, width = grey_HW.shape
    histogram = np.bincount(grey_HW.ravel() // (256 // NUM_BINS), minlength=NUM_BINS) / grey_HW.size
    rows, columns = max(1, round(CORNER_HEIGHT * height)), max(2, round(CORNER_WIDTH * width))
    corners = [
        grey_HW[y, x] for y in (slice(rows), slice(-rows, None)) for x in (slice(columns), slice(-columns, None))
    ]
    edges = [np.mean(np.abs(np.diff(corner.astype(np.int16), axis=1)) > _STEP) for corner in corners]
    bright = [np.mean(corner >= _BRIGHT) for corner in corners]
    text = float(has_edge_text(grey_HW))
    return np.array([*np.sqrt(histogram), np.log(width / height), *edges, *bright, text], dtype=np.float32)


def read_features(pictures: pa.Table, roots: Mapping[str, Folder], cache: Path, *, num_threads: int) -> Features:
    """[n, 74] of ``pictures`` (dataset, uri, picture: its SHA-256), NaN where one does not open; keeps ``cache`` up."""
    known = _cached(cache)
    rows = pictures.select(["dataset", "uri", "picture"]).to_pylist()
    unseen = {row["picture"]: (row["dataset"], row["uri"]) for row in rows if row["picture"] not in known}
    with ThreadPoolExecutor(num_threads) as threads:
        opened = threads.map(lambda place: _opened(roots, *place), unseen.values())
        found = dict(zip(unseen, opened, strict=True))
    seen = {name: features for name, features in found.items() if features is not None}
    kept = {row["picture"]: (known | seen)[row["picture"]] for row in rows if row["picture"] in known | seen}
    if seen:
        table = pa.table({"picture": list(kept), "features": [one.tolist() for one in kept.values()]}, FEATURES_SCHEMA)
        with publishing(cache) as staged:
            pq.write_table(table, staged)
    width = len(next(iter(kept.values()))) if kept else 0
    nothing = np.full(width, np.nan, np.float32)
    return np.array([kept.get(row["picture"], nothing) for row in rows], np.float32).reshape(len(rows), width)


def _cached(cache: Path) -> dict[str, Features]:
    """Features by picture; none where other code made them."""
    if not cache.exists() or (pq.read_schema(cache).metadata or {}).get(b"features") != _VERSION:
        return {}
    table = pq.read_table(cache)
    features = table["features"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)
    return dict(zip(table["picture"].to_pylist(), features, strict=True))


def _opened(roots: Mapping[str, Folder], dataset: str, uri: str) -> Features | None:
    """None where the picture is gone or does not decode: what is not seen gives nothing away."""
    try:
        return features_of(read_picture(roots[dataset] / uri, side_px=SIDE_PX))
    except (CorruptImage, BadInput, OSError, ValueError):
        return None

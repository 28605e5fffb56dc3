"""Native-layout corpora with planted bias, for the demo, for tests and for benchmarks.

Deterministic: the same number of samples and seed give the same bytes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ingest.errors import BadInput
from ingest.simulate import imed361m, isic2018, vqa_rad
from ingest.simulate.planted import Plan, Planted, overall_counts, shares_of
from ingest.workspace import publishing, write_json

PLANTED = "planted.json"
METADATA = "ham10000/HAM10000_metadata.csv"
MIN_SAMPLES = 40
_SHARE_IMED361M = 0.25
_SHARE_VQA_RAD = 0.35


def simulate(folder: Path, *, num_samples: int, seed: int, progress: Callable[[int], None] | None = None) -> Path:
    """Write ``folder``/{imed361m,vqa_rad,isic2018,ham10000}, ``num_samples`` rows in all; planted.json's path.

    ``progress`` is called with the number of rows just written. An earlier simulation is replaced whole.
    Raises: BadInput for fewer than MIN_SAMPLES, or where ``folder`` holds anything but a simulation.
    """
    if num_samples < MIN_SAMPLES:
        raise BadInput(f"simulate: expected at least {MIN_SAMPLES} samples, got {num_samples}")
    if folder.exists() and not (folder / PLANTED).is_file() and any(folder.iterdir()):
        raise BadInput(f"simulate: expected an empty folder or an earlier simulation at {folder}, got other files")
    num_imed361m = round(_SHARE_IMED361M * num_samples)
    num_vqa_rad = round(_SHARE_VQA_RAD * num_samples)
    plan = Plan(num_samples=num_samples, seed=seed, progress=progress or (lambda num_written: None))
    with publishing(folder) as staged:
        staged.mkdir()
        num_isic2018 = num_samples - num_imed361m - num_vqa_rad
        ledgers = [
            imed361m.write(staged / "imed361m", num_imed361m, plan),
            vqa_rad.write(staged / "vqa_rad", num_vqa_rad, plan),
            isic2018.write(staged / "isic2018", num_isic2018, plan, metadata=staged / METADATA),
        ]
        write_json(staged / PLANTED, _account_of(ledgers, num_samples=num_samples, seed=seed))
    return folder / PLANTED


def _account_of(ledgers: list[Planted], *, num_samples: int, seed: int) -> dict[str, Any]:
    counts = overall_counts(ledgers)
    return {
        "num_samples": num_samples,
        "seed": seed,
        "metadata": METADATA,
        "counted": "rows that enter the corpus: those under 'quarantine' are not among them",
        "datasets": {ledger.dataset: ledger.as_json() for ledger in ledgers},
        "counts": {name: dict(sorted(levels.items())) for name, levels in sorted(counts.items())},
        "shares": shares_of(counts),
        "quarantine": [row for ledger in ledgers for row in ledger.quarantine],
        "duplicates": [row for ledger in ledgers for row in ledger.duplicates],
    }

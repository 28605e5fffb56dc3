"""Native-layout corpora with planted bias, for the demo, for tests and for benchmarks.

Deterministic: the same number of samples, seed, profile and choice of pictures give the same bytes.
"""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

from ingest.errors import BadInput
from ingest.simulate import (
    cxr_lt_2024,
    dicom,
    ham10000,
    imed361m,
    isic2018,
    isic2019,
    kvasir_vqa,
    mimic_cxr,
    nifti,
    path_vqa,
    pmc_vqa,
    pubmedvision,
    slake,
    table,
    vqa_med_2019,
    vqa_rad,
)
from ingest.simulate.isic2018 import METADATA
from ingest.simulate.planted import Images, Plan, Planted, overall_counts, shares_of
from ingest.workspace import publishing, write_json

PLANTED = "planted.json"
MIN_ROWS = 10
"""Every data set of a simulation has at least so many rows."""

WRITERS: dict[str, Callable[[Path, int, Plan], Planted]] = {
    "imed361m": imed361m.write,
    "vqa_rad": vqa_rad.write,
    "isic2018": isic2018.write,
    "pubmedvision": pubmedvision.write,
    "pmc_vqa": pmc_vqa.write,
    "path_vqa": path_vqa.write,
    "slake": slake.write,
    "vqa_med_2019": vqa_med_2019.write,
    "kvasir_vqa": kvasir_vqa.write,
    "isic2019": isic2019.write,
    "ham10000": ham10000.write,
    "mimic_cxr": mimic_cxr.write,
    "cxr_lt_2024": cxr_lt_2024.write,
    "dicom": dicom.write,
    "nifti": nifti.write,
    "table": table.write,
}
"""Writer of a data set's native layout by adapter name; called in this order with ``folder/<name>``."""


class Profile(StrEnum):
    """Which data sets are written, and in which proportions."""

    DEMO = "demo"
    PAPER = "paper"
    EVERY = "every"


_PAPER = {
    "pubmedvision": 1_293_518, "imed361m": 1_235_525, "mimic_cxr": 377_110, "cxr_lt_2024": 258_871,
    "pmc_vqa": 226_946, "path_vqa": 32_795, "isic2018": 11_720, "vqa_rad": 3_515,
}  # fmt: skip
PROFILES: dict[Profile, dict[str, int]] = {
    Profile.DEMO: {"imed361m": 25, "vqa_rad": 35, "isic2018": 40},
    Profile.PAPER: _PAPER,
    Profile.EVERY: _PAPER | {
        "slake": 14_028, "vqa_med_2019": 15_292, "kvasir_vqa": 58_849, "isic2019": 33_569, "table": 20_000,
        "dicom": 20_000, "nifti": 2_000,
    },
}  # fmt: skip
"""Rows per data set as published (paper: 3,440,000 in all); of ham10000 the rows are those of isic2018."""


def simulate(
    folder: Path, *, num_samples: int, seed: int, profile: Profile = Profile.DEMO, images: Images = Images.ALL,
    progress: Callable[[int], None] | None = None,
) -> Path:  # fmt: skip
    """Write ``folder``/<data set> for every data set of ``profile``, ``num_samples`` rows in all; planted.json's path.

    ``progress`` is called with the number of rows just written. An earlier simulation is replaced whole.
    Raises: BadInput for too few samples, or where ``folder`` holds anything but a simulation.
    """
    if folder.exists() and not (folder / PLANTED).is_file() and any(folder.iterdir()):
        raise BadInput(f"simulate: expected an empty folder or an earlier simulation at {folder}, got other files")
    plan = Plan(
        num_samples=num_samples, seed=seed, progress=progress or (lambda num_written: None), images=images,
        num_rows_of=share_out(num_samples, profile),
    )  # fmt: skip
    with publishing(folder) as staged:
        staged.mkdir()
        ledgers = [write(staged / name, plan.num_rows_of[name], plan)
                   for name, write in WRITERS.items() if name in plan.num_rows_of]  # fmt: skip
        write_json(staged / PLANTED, _account_of(ledgers, plan=plan, profile=profile))
    return folder / PLANTED


def share_out(num_samples: int, profile: Profile) -> dict[str, int]:
    """Rows per data set: the profile's proportions, at least MIN_ROWS each; the largest takes the rounding.

    Raises: BadInput when there are too few for that.
    """
    published = {name: number for name, number in PROFILES[profile].items() if name in WRITERS}
    total = sum(published.values())
    rows = {name: max(MIN_ROWS, round(number / total * num_samples)) for name, number in published.items()}
    largest = max(published, key=published.__getitem__)
    rows[largest] += num_samples - sum(rows.values())
    if rows[largest] < MIN_ROWS or num_samples < MIN_ROWS * (len(rows) + 1):
        raise BadInput(f"simulate: expected at least {MIN_ROWS * (len(rows) + 1)} samples, got {num_samples}")
    return rows


def _account_of(ledgers: list[Planted], *, plan: Plan, profile: Profile) -> dict[str, Any]:
    counts = overall_counts(ledgers)
    return {
        "num_samples": plan.num_samples,
        "seed": plan.seed,
        "profile": profile,
        "images": plan.images,
        "metadata": METADATA,
        "counted": "rows that enter the corpus: those under 'quarantine' are not among them",
        "datasets": {ledger.dataset: ledger.as_json() for ledger in ledgers},
        "counts": {name: dict(sorted(levels.items())) for name, levels in sorted(counts.items())},
        "shares": shares_of(counts),
        "quarantine": [row for ledger in ledgers for row in ledger.quarantine],
        "duplicates": [row for ledger in ledgers for row in ledger.duplicates],
        "leaks": [row for ledger in ledgers for row in ledger.leaks],
    }

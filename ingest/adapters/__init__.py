"""One file per data set, one line per file in ADAPTERS."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.adapters import (
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
from ingest.adapters.root import Root
from ingest.sample import Sample


@dataclass(frozen=True)
class Adapter:
    """How a data set is read.

    ``read(root, options)`` yields samples and appends what it sets aside to ``root.rejections``.
    ``recognise(folder, search_root)`` cheaply tells whether ``folder`` has this layout: its options, or None.
    ``identifiable``: whether its rows may name patients unless the configuration says otherwise.
    """

    read: Callable[[Root, Any], Iterator[Sample]]
    Options: type[Any]
    recognise: Callable[[Path, Path], Any | None]
    licence: str
    identifiable: bool = False


ADAPTERS: dict[str, Adapter] = {
    "imed361m": Adapter(imed361m.read, imed361m.Options, imed361m.recognise, imed361m.LICENCE),
    "vqa_rad": Adapter(vqa_rad.read, vqa_rad.Options, vqa_rad.recognise, vqa_rad.LICENCE),
    "isic2018": Adapter(isic2018.read, isic2018.Options, isic2018.recognise, isic2018.LICENCE),
    "pubmedvision": Adapter(pubmedvision.read, pubmedvision.Options, pubmedvision.recognise, pubmedvision.LICENCE),
    "pmc_vqa": Adapter(pmc_vqa.read, pmc_vqa.Options, pmc_vqa.recognise, pmc_vqa.LICENCE),
    "path_vqa": Adapter(path_vqa.read, path_vqa.Options, path_vqa.recognise, path_vqa.LICENCE),
    "slake": Adapter(slake.read, slake.Options, slake.recognise, slake.LICENCE),
    "vqa_med_2019": Adapter(vqa_med_2019.read, vqa_med_2019.Options, vqa_med_2019.recognise, vqa_med_2019.LICENCE),
    "kvasir_vqa": Adapter(kvasir_vqa.read, kvasir_vqa.Options, kvasir_vqa.recognise, kvasir_vqa.LICENCE),
    "isic2019": Adapter(isic2019.read, isic2019.Options, isic2019.recognise, isic2019.LICENCE),
    "ham10000": Adapter(ham10000.read, ham10000.Options, ham10000.recognise, ham10000.LICENCE),
    "mimic_cxr": Adapter(mimic_cxr.read, mimic_cxr.Options, mimic_cxr.recognise, mimic_cxr.LICENCE),
    "cxr_lt_2024": Adapter(cxr_lt_2024.read, cxr_lt_2024.Options, cxr_lt_2024.recognise, cxr_lt_2024.LICENCE),
    "dicom": Adapter(dicom.read, dicom.Options, dicom.recognise, dicom.LICENCE, identifiable=True),
    "nifti": Adapter(nifti.read, nifti.Options, nifti.recognise, nifti.LICENCE, identifiable=True),
    "table": Adapter(table.read, table.Options, table.recognise, table.LICENCE, identifiable=True),
}
"""Adapter by name; the name is also the value of the ``dataset`` column."""

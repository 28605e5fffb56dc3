"""Which attribute and which acquisition setting makes sense for which rows: the one table of it.

A value that stands in a row always counts. Where there is none, a row the attribute does not apply to is
``__not_applicable__``, any other ``__missing__``; where it cannot be told (the modality is not known), it is missing.
"""

from dataclasses import dataclass

from ingest.modality import Modality
from ingest.sample import Task

MISSING = "__missing__"
NOT_APPLICABLE = "__not_applicable__"
_UNDECIDED = frozenset({Modality.OTHER, Modality.UNKNOWN})


@dataclass(frozen=True)
class Applies:
    """To rows whose ``column`` (null: cannot be told) has one of ``values``."""

    column: str
    values: frozenset[str]

    @property
    def absent_sql(self) -> str:
        """SQL over samples/: what stands where a row has no value."""
        return f"CASE WHEN {self.column} NOT IN ({self._listed}) THEN '{NOT_APPLICABLE}' ELSE '{MISSING}' END"

    @property
    def holds_sql(self) -> str:
        """SQL over samples/: whether a value could be there."""
        return f"coalesce({self.column} IN ({self._listed}), true)"

    @property
    def _listed(self) -> str:
        return ", ".join(f"'{value}'" for value in sorted(self.values))

    def absent_of(self, value: str | None) -> str:
        """The same for one value of ``column``."""
        return MISSING if value is None or value in self.values else NOT_APPLICABLE


M = Modality


def _modalities(*modalities: Modality) -> Applies:
    return Applies("modality", frozenset(str(one) for one in {*modalities, *_UNDECIDED}))


_PROJECTIONS = (M.X_RAY, M.MAMMOGRAPHY, M.FLUOROSCOPY, M.ANGIOGRAPHY, M.DSA)
_BY_MAGNET = _modalities(M.MAGNETIC_RESONANCE, M.PET_MRI)
ATTRIBUTE_APPLIES: dict[str, Applies] = {
    "skin_type": _modalities(M.DERMOSCOPY, M.DIGITAL_PHOTOGRAPHY),
    # ViewPosition (0018,5101) is of projections; ultrasound and scintigraphy have named views.
    "view": _modalities(*_PROJECTIONS, M.ULTRASOUND, M.ELASTOGRAPHY, M.SCINTIGRAPHY),
    "language": Applies("task", frozenset({str(Task.VQA), str(Task.REPORT)})),
    "answer_type": Applies("task", frozenset({str(Task.VQA)})),
}
"""Attributes that do not apply to every row; sex, age, race and manufacturer apply to every picture."""
SETTING_APPLIES: dict[str, Applies] = {
    "kVp": _modalities(*_PROJECTIONS, M.COMPUTED_TOMOGRAPHY, M.PET_CT),
    "slice_thickness_mm": _modalities(
        M.COMPUTED_TOMOGRAPHY, M.MAGNETIC_RESONANCE, M.PET, M.PET_CT, M.PET_MRI, M.SPECT, M.OPTICAL_COHERENCE_TOMOGRAPHY
    ),
    **dict.fromkeys(("echo_time_ms", "repetition_time_ms", "field_strength_tesla"), _BY_MAGNET),
}
"""The same for fields of ``protocol``; spacing and what is not named here apply to every picture."""

"""The ``[census]`` table of the configuration."""

import datetime
from dataclasses import dataclass, field
from pathlib import Path

from ingest.attributes import ATTRIBUTES


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A declared population: ``[census.reference]``, or the TOML file that ``reference`` names.

    shares: per attribute the share of each level, sum 1. version and date are the population's own, not ours.
    """

    name: str
    version: str
    date: datetime.date
    shares: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.shares:
            raise ValueError("reference.shares: expected shares by attribute, got none")
        for attribute, shares in self.shares.items():
            where = f"reference.shares.{attribute}"
            if attribute not in ATTRIBUTES or ATTRIBUTES[attribute].is_list:
                raise ValueError(f"{where}: expected an attribute with one level per row, got {attribute!r}")
            declared = ATTRIBUTES[attribute].levels
            for level, share in shares.items():
                if declared is not None and level not in declared:
                    raise ValueError(f"{where}: expected levels of {', '.join(declared)}, got {level!r}")
                if not 0 < share <= 1:
                    raise ValueError(f"{where}.{level}: expected a share above 0 and up to 1, got {share}")
            if abs(sum(shares.values()) - 1) > 1e-6:
                raise ValueError(f"{where}: expected shares that sum to 1, got {sum(shares.values()):.6g}")


@dataclass(frozen=True, kw_only=True)
class CensusConfig:
    """The ``[census]`` table. Cells of 1 to ``suppress_below - 1`` persons of identifiable data are hidden.

    reference: the population the corpus is held against. audit: a CSV or Parquet file with the columns
    ``sample_id, attribute, truth`` of rows a person looked at. declared_error: by attribute without audit, the largest
    error its shares may have. intersections: highest order, 0 for none. pictures: how many are looked at for what they
    give away, 0 for none.
    """

    attributes: tuple[str, ...] = ("modality", "anatomy", "sex", "age_band", "skin_type")
    suppress_below: int = 11
    num_resamples: int = 1000
    intersections: int = 3
    pictures: int = 1000
    reference: Reference | None = None
    audit: Path | None = None
    declared_error: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.attributes if name not in ATTRIBUTES]
        if unknown:
            raise ValueError(f"attributes: expected some of {', '.join(ATTRIBUTES)}, got {unknown[0]!r}")
        if len(set(self.attributes)) < len(self.attributes):
            raise ValueError("attributes: expected each once, got one twice")
        if self.suppress_below < 1:
            raise ValueError(f"suppress_below: expected at least 1, got {self.suppress_below}")
        if self.num_resamples < 100:
            raise ValueError(f"num_resamples: expected at least 100, got {self.num_resamples}")
        if self.intersections not in (0, 2, 3):
            raise ValueError(f"intersections: expected 0, 2 or 3, got {self.intersections}")
        if self.pictures < 0:
            raise ValueError(f"pictures: expected 0 or more, got {self.pictures}")
        for name, error in self.declared_error.items():
            if name not in self.attributes or not 0 <= error <= 1:
                raise ValueError(f"declared_error.{name}: expected 0 to 1 of a counted attribute, got {error}")
        if self.audit is not None and not self.audit.is_file():
            raise ValueError(f"audit: expected a file, got {self.audit} which does not exist")

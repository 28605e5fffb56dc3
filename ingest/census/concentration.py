"""One person who holds much of the rows: counts of rows then speak of that person."""

from ingest.census.coded import Coded
from ingest.percent import percent

HEAVY_SHARE = 0.25
"""From this share of the rows on, it is said."""


def notes_of(coded: Coded, *, identifiable: set[str]) -> list[str]:
    """A line per data set that leans on one person; of identifiable ones without that person's number of rows."""
    notes = []
    for place, dataset in enumerate(coded.datasets):
        sizes = coded.size_P[coded.dataset_P == place]
        share = float(sizes.max() / sizes.sum())
        if share >= HEAVY_SHARE:
            much = held(share, told=dataset not in identifiable)
            notes.append(
                f"{dataset}: one person holds {much} of the rows; the shares lean on that person, and their intervals "
                "are as wide as that makes them"
            )
    return notes


def held(share: float, *, told: bool) -> str:
    """How much one person holds, as words."""
    if told:
        return percent(share)
    words = {0.5: "half or more", HEAVY_SHARE: "a quarter or more", 0.0: "less than a quarter"}
    return next(word for least, word in words.items() if share >= least)

"""What a picture shows, and how that is known: the columns about modality and anatomy, filled one way."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from ingest.anatomy import Anatomy
from ingest.modality import Modality, modality_taken_for_granted
from ingest.sample import Source


def modality_columns(modality: Modality, source: Source, raw: str | None = None) -> dict[str, Any]:
    """``modality``, and its source unless it is unknown; ``raw``: the words it was read from, if declared."""
    known = modality is not Modality.UNKNOWN
    return {"modality": modality, "modality_source": source if known else None, "modality_raw": raw}


def anatomy_columns(anatomy: Anatomy, source: Source, raw: str | None = None) -> dict[str, Any]:
    """``anatomy``, and its source unless it is unknown; ``raw``: the words it was read from, if declared."""
    known = anatomy is not Anatomy.UNKNOWN
    return {"anatomy": anatomy, "anatomy_source": source if known else None, "anatomy_raw": raw}


def vote_modalities(questions: Iterable[tuple[str, str]]) -> dict[str, Modality]:
    """The modality most questions on a picture take for granted; pictures with a tie are left out.

    ``questions``: (picture, question). Answers never vote: they are truth.
    """
    votes: defaultdict[str, Counter[Modality]] = defaultdict(Counter)
    for picture, question in questions:
        modality = modality_taken_for_granted(question)
        if modality is not Modality.UNKNOWN:
            votes[picture][modality] += 1
    winners: dict[str, Modality] = {}
    for picture, counter in votes.items():
        (first, num_first), *rest = counter.most_common(2)
        if not rest or rest[0][1] < num_first:
            winners[picture] = first
    return winners

"""What is asked about a picture and what is answered: the columns about texts, filled one way."""

from collections.abc import Sequence
from typing import Any

from ingest.sample import AnswerType

YES_NO = ("yes", "no")


def text_of(value: Any) -> str:
    """A text with single spaces and none around it; numbers as texts; "" for anything else."""
    if isinstance(value, str):
        return " ".join(value.split())
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def question_columns(
    question: str, answer: str, *, declared_type: str = "", options: Sequence[str] | None = None, language: str = "en"
) -> dict[str, Any]:
    """``declared_type``: "open" or "closed" in any case; else closed where there are options or a yes or no.

    A closed question answered yes or no offers just these two, unless ``options`` are given.
    """
    says_yes_or_no = answer.lower() in YES_NO
    declared = declared_type.strip().lower()
    told_by_form = AnswerType.CLOSED if options or says_yes_or_no else AnswerType.OPEN
    answer_type = _TYPES.get(declared, told_by_form)
    if options is None and says_yes_or_no and answer_type is AnswerType.CLOSED:
        options = YES_NO
    return {
        "question": question,
        "answer": answer,
        "answer_type": answer_type,
        "options": list(options) if options is not None else None,
        "language": language,
    }


_TYPES = {str(kind): kind for kind in AnswerType}

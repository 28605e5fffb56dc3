"""Who may see what is made of a dataset: from open to identifiable, told from its licence."""

from collections.abc import Iterable
from enum import StrEnum


class Access(StrEnum):
    """Least strict first. ``restricted``: per source, unclear, or one's own; ``identifiable``: of patients."""

    OPEN = "open"
    NON_COMMERCIAL = "non_commercial"
    RESTRICTED = "restricted"
    CREDENTIALED = "credentialed"
    IDENTIFIABLE = "identifiable"


_OPEN = ("CC0", "CC-BY-4", "CC-BY-SA", "MIT", "APACHE", "BSD")
_ORDER = list(Access)


def access_of(licence: str | None) -> Access:
    """What a licence lets see; what is not known to be open is restricted."""
    name = (licence or "").upper().replace(" ", "-")
    if "CREDENTIALED" in name:
        return Access.CREDENTIALED
    if "-NC" in name:
        return Access.NON_COMMERCIAL
    return Access.OPEN if name.startswith(_OPEN) else Access.RESTRICTED


def strictest(labels: Iterable[Access]) -> Access:
    """The label of what is made of all of them; open of nothing."""
    return max(labels, key=_ORDER.index, default=Access.OPEN)

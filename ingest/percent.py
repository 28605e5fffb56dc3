"""Shares as words: a rare group keeps two digits, whatever its size, and is never shown as nothing."""

from math import floor, log10

_SMALL = 1e-3
_MOST_DIGITS = 8


def percent(share: float | None, *, digits: int = 1) -> str:
    """A share in percent, ``41.2 %``; of less than 0.1 % (or more than 99.9 %), two digits that count: ``0.0074 %``.

    A dash where there is none.
    """
    return "–" if share is None else f"{100 * share:.{_digits(share, digits)}f}\N{NO-BREAK SPACE}%"


def between(low: float | None, high: float | None) -> str:
    """An interval of shares, or of their changes, in percent: ``41.2 to 48.0 %``; empty where there is none."""
    if low is None or high is None:
        return ""
    digits = max(_digits(low, 1), _digits(high, 1))
    return f"{100 * low:.{digits}f} to {100 * high:.{digits}f}\N{NO-BREAK SPACE}%"


def points(change: float | None) -> str:
    """A change of a share in percentage points with its sign: ``-0.0031 points``; a dash where there is none."""
    return "–" if change is None else f"{100 * change:+.{_digits(change, 1)}f} points"


def _digits(share: float, digits: int) -> int:
    """Digits behind the point so that a share this close to 0 or 1 still shows two that count."""
    size = abs(share)
    from_end = min(size, abs(1 - size))
    if from_end >= _SMALL or from_end < 0.1 ** (_MOST_DIGITS + 2):  # what no digit would show is rounding
        return digits
    return min(_MOST_DIGITS, max(digits, 1 - floor(log10(100 * from_end))))

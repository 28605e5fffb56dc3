"""From wanted margins to what the solver needs: which share each level should have, and how strongly.

Per attribute t = (1 - tau) p + tau g (METHODS section 2): p the present shares, g the goal, tau the strength.
Shares are among the rows a target speaks of: rows whose level is not known are left free, for whether an
attribute is known goes with the dataset, and fixing both would ask for what no weighting can give.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ingest.attributes import ATTRIBUTES, KEPT_LEVELS
from ingest.errors import BadInput

Toward = Literal["uniform", "power", "reference"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """One line of ``[weights.targets]``.

    toward: a rule, or the wanted shares by level (of labels: their presence rates). "power" flattens shares to p^alpha,
    "reference" moves towards the shares given in ``reference``.
    strength: tau in [0, 1].
    """

    toward: Toward | dict[str, float]
    strength: float = 1.0
    alpha: float = 0.5
    reference: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength: expected 0 to 1, got {self.strength}")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha: expected 0 to 1, got {self.alpha}")
        if (self.toward == "reference") != bool(self.reference):
            raise ValueError(
                'reference: expected shares by level exactly when toward = "reference", here or in '
                "[census.reference.shares]"
            )
        if not all(0 <= share < math.inf for share in (self.shares or {}).values()):
            raise ValueError("expected shares of 0 or more, got a negative one or no number")

    @property
    def shares(self) -> dict[str, float] | None:
        """The shares a person wrote down, by level; None for a rule."""
        return self.toward if isinstance(self.toward, dict) else self.reference or None

    @property
    def is_given(self) -> bool:
        """Whether a person asked for these very shares, so that clipping them would be a lie."""
        return isinstance(self.toward, dict)


def check_levels(attribute: str, target: Target) -> None:
    """Refuse a target for an unknown attribute or a level outside its declared vocabulary, and shares that do not sum.

    Labels stand together, so that their shares are presence rates, each from 0 to 1.
    """
    if attribute not in ATTRIBUTES:
        raise BadInput(f"targets: expected an attribute of {', '.join(ATTRIBUTES)}, got {attribute!r}")
    shares = target.shares
    for level, share in (shares or {}).items() if ATTRIBUTES[attribute].is_list else ():
        if share > 1:
            raise BadInput(f"targets.{attribute}: expected rates of 0 to 1, got {share:.6g} for {level}")
    if shares is not None and not ATTRIBUTES[attribute].is_list and abs(sum(shares.values()) - 1) > 1e-6:
        raise BadInput(f"targets.{attribute}: expected shares that sum to 1, got {sum(shares.values()):.6g}")
    declared = ATTRIBUTES[attribute].levels
    for level in shares or ():
        if declared is not None and level not in declared:
            raise BadInput(f"targets.{attribute}: expected a level of {', '.join(declared)}, got {level!r}")


@dataclass(frozen=True)
class Goal:
    """What a target asks of one attribute.

    speaks: [L] which levels with rows it speaks of; the others are left free.
    shares: [L] wanted shares among those it speaks of, 0 elsewhere, sum 1.
    removed: levels it names that have no rows.
    """

    speaks: NDArray[np.bool_]
    shares: NDArray[np.float64]
    removed: list[str]


def goal_of(attribute: str, target: Target, levels: list[str], present: NDArray[np.float64]) -> Goal | None:
    """The goal g over ``levels`` (those with rows, ``present`` their shares); None where it speaks of none.

    A rule speaks of every level but those that say "not known"; written shares speak of the levels they name.
    """
    shares = target.shares
    if shares is None:
        speaks = np.array([level not in KEPT_LEVELS for level in levels])
        wanted = np.where(speaks, present**target.alpha if target.toward == "power" else 1.0, 0.0)
        declared = ATTRIBUTES[attribute].levels or ()
        removed = [level for level in declared if level not in (*levels, *KEPT_LEVELS)]
    else:
        speaks = np.array([level in shares for level in levels])
        wanted = np.array([shares.get(level, 0.0) for level in levels])
        removed = [level for level, share in shares.items() if level not in levels and share > 0]
    if not speaks.any() or wanted.sum() == 0:
        return None
    return Goal(speaks, wanted / wanted.sum(), removed)


def wanted_shares(goal: Goal, present: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """[L] t = (1 - tau) p + tau g among the levels the goal speaks of, 0 elsewhere."""
    among = np.where(goal.speaks, present, 0.0)
    mixed: NDArray[np.float64] = (1 - strength) * among / among.sum() + strength * goal.shares
    return mixed

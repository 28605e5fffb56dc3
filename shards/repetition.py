"""Repetition caps: how often one row may be drawn over the whole of a training run, held against what will be drawn."""

import json
from collections.abc import Mapping
from pathlib import Path

from ingest.errors import GateRefused

SLACK = 1e-6
"""Relative; the solver meets a cap to rounding."""


def caps_of(solution: Path) -> dict[str, int]:
    """Data set -> its cap, of those that have one; none where there is no certificate."""
    if not solution.exists():
        return {}
    caps: dict[str, int | None] = json.loads(solution.read_text()).get("max_repeats", {})
    return {name: cap for name, cap in caps.items() if cap is not None}


def check_caps(
    caps: Mapping[str, int], largest_shares: Mapping[str, float], *, num_draws: int, num_epochs: int | None
) -> None:
    """Refuse a run in which a row may be drawn more often than its data set allows.

    A row of share s of all weight is drawn floor or ceil of E M s times in E epochs of M draws, so that the cap holds
    where E M s is at most the cap (METHODS section 2, "Epoch plan").

    Args:
        largest_shares: data set -> the largest weight of a row over the sum of all weights.
        num_epochs: None for a run without a known end, in which no cap can hold.
    Raises: GateRefused.
    """
    for name, cap in caps.items():
        if name not in largest_shares:
            continue
        if num_epochs is None:
            raise GateRefused(f"max_repeats of {name}: expected a known number of epochs to hold {cap}, got None")
        expected = num_epochs * num_draws * largest_shares[name]
        if expected > cap * (1 + SLACK):
            run = f"{num_epochs} epochs of {num_draws:,} draws"
            raise GateRefused(
                f"max_repeats of {name}: expected at most {cap} draws of a row, got up to {expected:.4g} in {run}; "
                "weigh again for such a run"
            )

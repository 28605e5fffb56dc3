"""A quantile of a stream that drifts, followed without storing the stream, alike on every rank."""

from typing import Any

import torch
from torch import Tensor, nn

from model.ranks import summed

SLOWEST = 0.02
"""Least step: half of what the estimate knows is younger than some 35 updates."""


class RunningQuantile(nn.Module):
    """Stochastic approximation of the ``share`` quantile (Robbins and Monro 1951), in steps scaled to the spread.

    Its numbers are no buffers: casting the module to bfloat16 would freeze them. They go into checkpoints all the same.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.value, self.spread, self.num_seen, self.num_updates = 0.0, 0.0, 0, 0

    def update(self, values_N: Tensor) -> None:
        """Take in this step's values of all ranks; a step without any changes nothing."""
        values_N = values_N.detach().double()
        if self.num_seen == 0:
            total, count = self._over_ranks(values_N.sum(), values_N.new_tensor(len(values_N)))
            if count == 0:
                return
            self.value = total / count
        off = (values_N - self.value).abs().sum()
        below, off_sum, count = self._over_ranks(
            (values_N <= self.value).sum(), off, values_N.new_tensor(len(values_N))
        )
        if count == 0:
            return
        self.num_seen, self.num_updates = self.num_seen + int(count), self.num_updates + 1
        rate = max(1 / self.num_updates, SLOWEST)
        self.spread += rate * (off_sum / count - self.spread)
        self.value += 4 * rate**0.75 * self.spread * (self.share - below / count)

    @staticmethod
    def _over_ranks(*numbers: Tensor) -> list[float]:
        gathered: list[float] = summed(torch.stack([number.double() for number in numbers])).tolist()
        return gathered

    def get_extra_state(self) -> dict[str, Any]:
        names = ("value", "spread", "num_seen", "num_updates")
        return {name: getattr(self, name) for name in names}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        for name, number in state.items():
            setattr(self, name, number)

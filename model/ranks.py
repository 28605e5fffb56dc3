"""Numbers over all training processes: what stands here is the same on every rank afterwards."""

import torch
import torch.distributed as distributed
from torch import Tensor


def summed(values: Tensor) -> Tensor:
    """The sum over all ranks. Every rank must call it, also one that has nothing to add."""
    return _reduced(values, distributed.ReduceOp.SUM)


def largest(values: Tensor) -> Tensor:
    """The largest of all ranks; -inf where none has one."""
    return _reduced(values, distributed.ReduceOp.MAX)


@torch.no_grad()
def _reduced(values: Tensor, operation: "distributed.ReduceOp.RedOpType") -> Tensor:
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return values.detach()
    values = values.detach().clone()
    distributed.all_reduce(values, op=operation)
    return values

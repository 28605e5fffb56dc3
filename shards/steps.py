"""How the draws of an epoch become steps, and a step's draws the batches of the ranks.

A step takes ``batch_size * world_size`` consecutive draws of the epoch, in the order of the plan, and gives every
rank its share of them. Where the draws do not divide, the last steps take one draw less each: no step is tiny, no
rank's batch is larger than ``batch_size``, all ranks have equally many batches. Steps depend on how many draws are
left and on nothing that was before: a run that stops after any step goes on with exactly the draws left, with the
same ranks or with others, and global batches are the same for every split of a global batch size over ranks.
"""

import numpy as np
from numpy.typing import NDArray

from ingest.errors import BiasCareError


def step_bounds(position: int, num_draws: int, *, batch_size: int, world_size: int) -> NDArray[np.int64]:
    """Where the steps from ``position`` to the end of the epoch begin, and the end: [steps + 1].

    With ``batch_size`` 1 on several ranks a step cannot take less: there the last steps take one draw more.
    Raises: BiasCareError when fewer draws are left than ranks: no equal split exists.
    """
    left, whole = num_draws - position, batch_size * world_size
    if left == 0:
        return np.array([position], dtype=np.int64)
    if left < world_size:
        raise BiasCareError(
            f"expected at least one draw for each of {world_size} ranks, got {left} left of the epoch's {num_draws}: "
            f"go on with at most {left} ranks to the end of the epoch"
        )
    grows = batch_size == 1 and world_size > 1
    num_steps = max(1, left // whole) if grows else -(-left // whole)
    base, extra = divmod(left, num_steps)
    sizes = np.full(num_steps, base, dtype=np.int64)
    if grows:
        sizes[num_steps - extra :] += 1
    else:
        sizes[:extra] += 1
    return np.concatenate([[position], position + np.cumsum(sizes)])


def rank_share(start: int, stop: int, *, rank: int, world_size: int) -> tuple[int, int]:
    """The draws (from, to) of one rank in the step from ``start`` to ``stop``; shares differ by at most one."""
    size = stop - start
    return start + size * rank // world_size, start + size * (rank + 1) // world_size

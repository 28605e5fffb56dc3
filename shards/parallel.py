"""Independent jobs over spawned processes: a few ahead at a time, results as they finish."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from ingest.errors import BiasCareError

JOBS_AHEAD_PER_PROCESS = 2
"""So many jobs wait for each process: the rest is not made yet, so memory stays flat for any number of them."""

Job = TypeVar("Job")
Result = TypeVar("Result")


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(function: Callable[[Job], Result], jobs: Iterable[Job], *, num_processes: int) -> Iterator[Result]:
    """The results of ``function`` in the order they finish; in this process for fewer than two processes.

    The first failure is raised and nothing further is started. Raises: BiasCareError where a process was killed.
    """
    if num_processes < 2:
        yield from map(function, jobs)
        return
    pool = ProcessPoolExecutor(
        num_processes, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent
    )
    running: set[Future[Result]] = set()
    try:
        for job in jobs:
            running.add(pool.submit(function, job))
            if len(running) >= num_processes * JOBS_AHEAD_PER_PROCESS:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                yield from [future.result() for future in finished]
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            yield from [future.result() for future in finished]
    except BrokenProcessPool as error:
        raise BiasCareError("expected every process to finish, got one that was killed: run it again") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Leave at once when the parent is gone: a killed run must not go on through its children."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only spawned processes run this"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

"""A reading process keeps the memory it freed, unless its user has said otherwise."""

import json
import os
import subprocess
import sys

import pytest

BATCHES = """
import json, resource, sys
import numpy as np
from shards.heap import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == "keep" else False

def faults(batches):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(batches):
        batch = [np.ones(200_000, np.float32) for _ in range(8)]
        del batch
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(1)
print(json.dumps([kept, faults(10)]))
"""


def faults_of(choice, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", BATCHES, choice]
    run = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_the_next_batch_takes_the_memory_of_the_last_one():
    num_pages = 10 * 8 * 800_000 // 4096
    as_it_is, (kept, faults) = faults_of("leave"), faults_of("keep")
    assert as_it_is[1] > num_pages // 2
    assert kept and faults < num_pages // 50


def test_what_the_user_has_set_is_left_alone():
    assert faults_of("keep", MALLOC_TRIM_THRESHOLD_="131072")[0] is False

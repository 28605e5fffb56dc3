"""What may happen to a pack: killed, disk full, two at once.

Each story ends the same way: nothing wrong was published, the trouble was told, packing again completes.
The short versions run always; `make soak` runs them at full count and prints the counts.
"""

import shutil
import signal
import subprocess
import time
from collections import Counter

import numpy as np
import pytest

from ingest.errors import BiasCareError
from ingest.workspace import write_json
from shards.recipe import recipe_of


def kill_at_random(packer_at, wanted, tmp_path, num_kills, seed):
    """Kill a pack ``num_kills`` times, over nothing or over an older pack in turn; what was seen, counted.

    Packs that finished before their moment came are looked at too, but are no kills.
    """
    digest, seconds = wanted
    rng = np.random.default_rng(seed)
    seen = Counter()
    number = 0
    while seen["killed while packing"] < num_kills:
        number += 1
        packer = packer_at(tmp_path / str(number))
        older = packer.pack(packer.other_recipe)["corpus"] if number % 2 == 0 else None
        child = packer.child(num_processes=1 + number // 2 % 2)
        child.stdin.write("\n")
        child.stdin.flush()
        time.sleep(rng.uniform(0, seconds * (1 + number // 2 % 2)))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        seen["killed while packing" if child.returncode == -signal.SIGKILL else "finished before"] += 1
        published = packer.corpus
        assert published in (older, digest)
        seen["old or nothing published" if published == older else "new published whole"] += 1
        summary = packer.pack()
        seen["reruns that went on from finished shards"] += summary["num_shards_kept"] > 0
        assert summary["corpus"] == digest == packer.corpus
        assert packer.leftovers() == []
        seen["reruns complete"] += 1
        shutil.rmtree(packer.workspace.root)
    return seen


def test_a_killed_pack_publishes_nothing_wrong_and_is_finished_by_a_rerun(packer_at, wanted, tmp_path):
    assert kill_at_random(packer_at, wanted, tmp_path, num_kills=1, seed=5)["reruns complete"] >= 1


@pytest.mark.soak
def test_twenty_kills(packer_at, wanted, tmp_path, tell):
    seen = kill_at_random(packer_at, wanted, tmp_path, num_kills=20, seed=6)
    tell("kill -9 at 20 random moments", seen)
    assert seen["reruns complete"] >= seen["killed while packing"] == 20


def test_a_pack_killed_between_publishing_and_cleaning_up_is_cleaned_up(packer_at, wanted, tmp_path):
    packer = packer_at(tmp_path / "work")
    packer.pack(packer.other_recipe)
    partial = packer.workspace.root / ".shards.partial"
    shutil.copytree(packer.workspace.shards, partial / "shards")
    packer.pack()  # takes the copy for what an interrupted pack by another recipe left
    assert packer.corpus == wanted[0] and packer.leftovers() == []
    shutil.copytree(packer.workspace.shards, partial / "shards")
    write_json(partial / "recipe.json", recipe_of(packer.config))
    assert packer.pack()["num_samples_encoded"] == 0
    assert packer.corpus == wanted[0] and packer.leftovers() == []


def race(packer_at, wanted, root):
    """A child and this process pack one workspace at once; how many finished and how many were refused."""
    packer = packer_at(root)
    child = packer.child()
    child.stdin.write("\n")
    child.stdin.flush()
    refused = []
    try:
        packer.pack()
    except BiasCareError as error:
        refused.append(str(error))
    error = child.communicate()[1]
    if child.returncode:
        refused.append(error)
    assert all("expected a free workspace, got one another process works on" in error for error in refused)
    assert packer.corpus == wanted[0]
    assert packer.pack()["num_samples_encoded"] == 0
    return Counter({"finished": 2 - len(refused), "refused with a clear line": len(refused)})


def test_of_two_packers_one_works_and_the_other_is_told(packer_at, wanted, tmp_path):
    assert race(packer_at, wanted, tmp_path / "work")["finished"] >= 1


@pytest.mark.soak
def test_ten_races(packer_at, wanted, tmp_path, tell):
    seen = sum((race(packer_at, wanted, tmp_path / str(number)) for number in range(10)), Counter())
    tell("two packers at once, 10 times", seen)
    assert seen["refused with a clear line"] >= 1


@pytest.fixture
def small_disk(tmp_path):
    """Mounts file systems of a given size; skips where mounting is not permitted."""
    mounted = []

    def mount(num_bytes):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a tmpfs is not permitted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_too_small_is_refused_before_anything_is_written(packer_at, small_disk):
    packer = packer_at(small_disk(2 * 2**20) / "work")
    with pytest.raises(BiasCareError, match=r"expected about [\d,]+ bytes free for \d+ samples, got"):
        packer.pack()
    assert packer.corpus is None and not list(packer.workspace.root.rglob("*.tar"))


def fill_at(packer_at, wanted, disk, num_done):
    """Fill the disk once ``num_done`` samples are packed, then make room and pack again; whether it was told."""
    packer = packer_at(disk / "work")
    older = packer.pack(packer.other_recipe)["corpus"]
    ballast = packer.workspace.root / "ballast"

    def fill(done, total):
        if done >= num_done and not ballast.exists():
            ballast.write_bytes(bytes(shutil.disk_usage(disk).free))

    told = False
    try:
        packer.pack(progress=fill)
    except BiasCareError as error:
        told = "got a full disk" in str(error)
        assert told and packer.corpus == older
    assert ballast.exists()
    ballast.unlink()
    kept = packer.pack()["num_shards_kept"]
    assert packer.corpus == wanted[0] and packer.leftovers() == []
    return told, kept


def test_a_disk_that_fills_up_is_told_and_a_rerun_goes_on(packer_at, wanted, small_disk):
    told, kept = fill_at(packer_at, wanted, small_disk(24 * 2**20), num_done=100)
    assert told and kept > 0


@pytest.mark.soak
def test_ten_full_disks(packer_at, wanted, small_disk, tell):
    seen = Counter()
    for number in range(10):
        told, kept = fill_at(packer_at, wanted, small_disk(24 * 2**20), num_done=1 + 35 * number)
        seen["told"] += told
        seen["reruns complete"] += 1
        seen["reruns that went on from finished shards"] += kept > 0
    tell("disk full at 10 moments", seen)
    assert seen["told"] == 10

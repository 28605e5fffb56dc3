"""What happens to packed shards: bytes flipped, files gone or cut short. It is told, and packing again heals it."""

from collections import Counter

import numpy as np
import pytest

from shards.verify import verify


def flip_bytes(packer, num_flips, seed):
    """Flip one bit in ``num_flips`` random places, one at a time: of ten one in the index, one in the manifest."""
    rng = np.random.default_rng(seed)
    tars = sorted(packer.workspace.shards.rglob("*.tar"))
    sizes = np.array([path.stat().st_size for path in tars])
    others = {0: packer.workspace.index, 1: packer.workspace.manifest}
    seen = Counter()
    for number in range(num_flips):
        path = others.get(number % 10) or tars[int(rng.choice(len(tars), p=sizes / sizes.sum()))]
        whole = path.read_bytes()
        place = int(rng.integers(len(whole)))
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        problems = verify(packer.workspace)
        name = str(path.relative_to(packer.workspace.shards))
        assert any(name in problem for problem in problems), (name, place)
        seen[f"in {path.suffix.lstrip('.')}"] += 1
        seen["told with the file's name"] += 1
        seen["told with the sample's id"] += any("sample " in problem for problem in problems)
        path.write_bytes(whole)
    assert verify(packer.workspace) == []
    return seen


def test_a_flipped_byte_is_told_with_the_file_it_is_in(packer_at, tmp_path):
    packer = packer_at(tmp_path / "work")
    packer.pack()
    assert flip_bytes(packer, num_flips=5, seed=1)["told with the file's name"] == 5


@pytest.mark.soak
def test_two_hundred_flipped_bytes(packer_at, wanted, tmp_path, tell):
    packer = packer_at(tmp_path / "work")
    packer.pack()
    seen = flip_bytes(packer, num_flips=200, seed=2)
    tell("one bit flipped in 200 random places", seen)
    assert seen["told with the file's name"] == 200


@pytest.mark.parametrize("damage", ["flip", "delete", "truncate"])
def test_packing_again_heals_a_damaged_shard_and_rewrites_no_other(packer_at, wanted, tmp_path, damage):
    packer = packer_at(tmp_path / "work")
    packer.pack()
    shard = sorted(packer.workspace.shards.rglob("*.tar"))[3]
    content = bytearray(shard.read_bytes())
    content[700] ^= 1
    shard.unlink()
    if damage != "delete":
        shard.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    assert any(shard.name in problem for problem in verify(packer.workspace))
    summary = packer.pack()
    assert summary["num_shards_kept"] == summary["num_shards"] - 1
    assert summary["corpus"] == packer.corpus == wanted[0]

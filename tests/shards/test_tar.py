import hashlib
import io
import tarfile

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from shards.record import members_of
from shards.tar import BLOCK_BYTES, ShardWriter, member, sample_bytes

SAMPLES = st.lists(
    st.dictionaries(st.sampled_from(["jpg", "json", "masks.npz", "0.png"]), st.binary(max_size=1500), min_size=1),
    max_size=5,
)


def written(samples):
    stream = io.BytesIO()
    writer = ShardWriter(stream)
    extents = [writer.add(sample_bytes(f"{number:032x}", members)) for number, members in enumerate(samples)]
    return stream, extents, writer.finish(), writer.size_bytes


@given(SAMPLES)
def test_tarfile_reads_what_was_written_in_order(samples):
    stream, _, _, _ = written(samples)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        found = [(info.name, archive.extractfile(info).read()) for info in archive]
    assert found == [
        (f"{n:032x}.{suffix}", body) for n, members in enumerate(samples) for suffix, body in members.items()
    ]


@given(SAMPLES)
def test_extents_and_digests_are_those_of_the_bytes(samples):
    stream, extents, sha256, size_bytes = written(samples)
    content = stream.getvalue()
    assert size_bytes == len(content) == sum(extent.size_bytes for extent in extents) + 2 * BLOCK_BYTES
    assert sha256 == hashlib.sha256(content).hexdigest()
    for extent, members in zip(extents, samples, strict=True):
        chunk = content[extent.offset : extent.offset + extent.size_bytes]
        assert extent.xxh3_128 == xxhash.xxh3_128_hexdigest(chunk)
        assert members_of(chunk) == members


@given(st.text("abc019.", min_size=1, max_size=100), st.integers(0, 5000))
def test_a_header_is_the_one_that_the_standard_library_writes(name, size):
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    assert member(name, bytes(size))[0] == info.tobuf(tarfile.USTAR_FORMAT)


def test_a_name_beyond_ustar_is_refused():
    with pytest.raises(ValueError, match="name of 1 to 100 bytes"):
        member("x" * 101, b"")
    with pytest.raises(ValueError):
        member("größe.jpg", b"")

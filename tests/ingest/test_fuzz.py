"""Damaged trees: bytes turned, files cut, links bent. Every adapter reads on or says BadInput; nothing else."""

import os
import shutil
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ingest.adapters import ADAPTERS
from ingest.adapters.recognise import recognise_under
from ingest.adapters.root import Root
from ingest.errors import BadInput
from ingest.quarantine import rejections_to_table
from ingest.sample import to_table
from ingest.simulate import WRITERS
from ingest.simulate.planted import Images, Plan

NUM_ROWS = 24
SECONDS_BEFORE_IT_HANGS = 60
SPLICES = (
    b'"../../../../etc/passwd"', b"../../../../etc/passwd", b"/etc/passwd", b"[" * 3000, b'{"a":' * 3000, b"\xff\xfe",
    b"\x00", b"NaN", b"1e999", b"9" * 5000, b"\\ud800", b'"', b",", b"\n", b"-300", b"\xed\xa0\x80", b"", b"null",
)  # fmt: skip


class Outside:
    """Every path that is opened or listed by Python while ``watching``, outside the watched folder."""

    def __init__(self) -> None:
        self.inside = None
        self.seen = []
        sys.addaudithook(self._note)

    def _note(self, event, arguments):
        if self.inside is None or event not in ("open", "os.scandir", "os.listdir"):
            return
        path = arguments[0]
        if isinstance(path, str | bytes | os.PathLike):
            real = os.path.realpath(os.fsdecode(path))
            if not real.startswith((self.inside, *IMPORTS)):
                self.seen.append(real)

    @contextmanager
    def watching(self, folder):
        self.inside, self.seen = os.path.realpath(folder), []
        try:
            yield
        finally:
            self.inside = None


IMPORTS = ("/usr/", "/proc/", *(os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, *sys.path) if path))
OUTSIDE = Outside()


@contextmanager
def watchdog():
    """Ends what hangs."""

    def stop(number, frame):
        raise TimeoutError("the adapter hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS_BEFORE_IT_HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@st.composite
def damages(draw):
    """(share of the file list, what is done to that file's bytes or to the file itself)."""
    kind = draw(
        st.sampled_from(["flip", "flip", "cut", "splice", "splice", "drop", "repeat", "remove", "link", "folder"])
    )
    place, length = draw(st.floats(0, 1)), draw(st.integers(1, 64))
    byte, splice = draw(st.integers(0, 255)), draw(st.sampled_from(SPLICES))
    return draw(st.floats(0, 1)), kind, place, length, byte, splice


def damaged(content, kind, place, length, byte, splice):
    at = int(place * len(content))
    if kind == "flip":
        return content[:at] + bytes([byte]) + content[at + 1 :]
    if kind == "cut":
        return content[:at]
    if kind == "splice":
        return content[:at] + splice + content[at + (length if byte % 2 else 0) :]
    if kind == "drop":
        return content[:at] + content[at + length :]
    return content[:at] + content[at : at + length] * 2 + content[at + length :]


@contextmanager
def damage_to(path, damage, outside):
    """The file is damaged inside the block and whole again behind it."""
    kind, *rest = damage
    content = path.read_bytes()
    path.unlink()
    if kind == "link":
        path.symlink_to([path, outside, path.parent, "/etc"][int(rest[0] * 3.99)])
    elif kind == "folder":
        path.mkdir()
    elif kind != "remove":
        path.write_bytes(damaged(content, kind, *rest))
    try:
        yield
    finally:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        path.write_bytes(content)


def read_damaged(name, folder, options):
    """Read and tabulate everything as the pipeline does; BadInput is an answer."""
    root = Root(folder, name)
    try:
        with OUTSIDE.watching(folder.parent):
            samples = list(ADAPTERS[name].read(root, options))
    except BadInput:
        return
    to_table(samples)
    rejections_to_table(root.rejections)
    for sample in samples:
        for uri in sample.image_uris:
            root.resolve(uri)


def files_of(folder, options):
    """Tables twice as likely as pictures; a data set's tables may lie beside its folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    beside = [path for path in vars(options).values() if isinstance(path, Path) and path.is_file()]
    tables = [path for path in files if path.suffix not in (".jpg", ".png")] + beside
    return (tables * 2 * (len(files) // len(tables) + 1) + files) if tables else files


def fuzz(name, base, num_trees):
    """Returns the number of damaged trees that were read."""
    tree = base / "tree" / name
    WRITERS[name](tree, NUM_ROWS, Plan(num_samples=1000, seed=5, progress=lambda num_written: None, images=Images.ALL))
    (found,) = [each for each in recognise_under(base / "tree") if each.adapter == name]
    files = files_of(found.folder, found.options)
    outside = base / "outside.txt"
    outside.write_text("not to be read")
    tried = 0

    @settings(
        max_examples=num_trees, database=None, derandomize=num_trees < 100,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )  # fmt: skip
    @given(damages())
    def one_damage(damage):
        nonlocal tried
        which, *what = damage
        path = files[int(which * (len(files) - 1))]
        if what[0] == "link" and not path.is_relative_to(found.folder):
            what[0] = "remove"  # a file named by an option is its user's choice, links included
        with damage_to(path, what, outside), watchdog():
            recognise_under(base / "tree")
            read_damaged(name, found.folder, found.options)
            assert not OUTSIDE.seen
        tried += 1

    one_damage()
    return tried


def tell(capsys, name, tried):
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {tried} damaged trees tried")


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_damaged_tree_is_read_or_refused(name, tmp_path, capsys):
    tried = fuzz(name, tmp_path, 25)
    tell(capsys, name, tried)


@pytest.mark.soak
@pytest.mark.parametrize("name", ADAPTERS)
def test_many_damaged_trees_are_read_or_refused(name, tmp_path, capsys):
    tried = fuzz(name, tmp_path, 2000)
    tell(capsys, name, tried)

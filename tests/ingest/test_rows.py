"""Tables read row by row: whole ones give their rows, broken ones one clear error after what stood before it."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.adapters import rows
from ingest.adapters.root import Root
from ingest.adapters.rows import read_csv, read_json_array, read_lines, read_parquet
from ingest.errors import BadInput

SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text('ab\\"é', max_size=3), inner))


@given(st.lists(VALUES, max_size=8), st.sampled_from([None, 1]), st.booleans())
def test_an_array_comes_back_whatever_the_window(tmp_path_factory, values, indent, ascii_only):
    path = tmp_path_factory.getbasetemp() / "array.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_CHARACTERS_PER_READ", 3)
        assert list(read_json_array(path)) == list(enumerate(values, start=1))
    assert list(read_json_array(path)) == list(enumerate(values, start=1))


@pytest.mark.parametrize(
    ("content", "num_before", "says"),
    [
        (b"", 0, "element 1.*end of the file"),
        (b'{"a": 1}', 0, "element 1.*something else"),
        (b"[1, 2", 2, "element 3.*end of the file"),
        (b'[{"a": "x"}, {"b": "y', 1, "element 2.*Unterminated"),
        (b"[1 2]", 1, "element 2.*something else"),
        (b"[1,]", 1, "element 2.*Expecting value"),
        (b"[1] x", 1, "element 2.*more text"),
        (b'["\xff"]', 0, "element 1.*other bytes"),
        (b"[" * 100_000, 0, "element 1.*RecursionError"),
        (b"[" + b"9" * 5000 + b"]", 0, "element 1.*digits"),
    ],
)
def test_a_broken_array_yields_what_stood_before_and_says_where(tmp_path, content, num_before, says):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    read = []
    with pytest.raises(BadInput, match=says):
        read.extend(number for number, _ in read_json_array(path))
    assert len(read) <= num_before


def test_half_a_surrogate_pair_becomes_a_question_mark(tmp_path):
    (tmp_path / "a.json").write_text('\ufeff [ {"t": "\\ud800 x \\ud83d\\ude00"} ] ', encoding="utf-8")
    assert list(read_json_array(tmp_path / "a.json")) == [(1, {"t": "? x 😀"})]


def test_csv_is_unpacked_and_mapped_by_its_header(tmp_path):
    with gzip.open(tmp_path / "a.csv.gz", "wt", encoding="utf-8") as file:
        file.write('\ufeffa, b ,c\n1,"x\ny",3\n\n4,5\n')
    assert list(read_csv(tmp_path / "a.csv.gz", columns=("b",))) == [(3, {"a": "1", "b": "x\ny", "c": "3"}), (5, None)]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"a\n1\n", "expected the columns b, got a"),
        ("a.csv", b"a,b,b\n1,2,3\n", "expected each column once, got b"),
        ("a.csv", "a,b\nä,1\n".encode("latin-1"), "expected CSV in UTF-8, got other bytes at"),
        ("a.csv", b'a,b\n"' + b"x" * 200_000, "field larger"),
        ("a.csv", "a,b\n".encode("utf-16"), "expected CSV in UTF-8"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-6], "expected CSV in UTF-8, got"),
        ("a.csv.gz", b"a,b\n", "expected CSV in UTF-8, got BadGzipFile"),
        ("none.csv", None, "got FileNotFoundError"),
    ],
)
def test_a_broken_csv_says_what_is_wrong_with_it(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=says):
        list(read_csv(tmp_path / name, columns=("a", "b")))


def test_parquet_reads_only_what_is_asked_for(tmp_path):
    table = pa.table({"image": [{"bytes": b"x", "path": "p"}, None], "question": ["q", None]})
    pq.write_table(table, tmp_path / "a.parquet")
    read = list(read_parquet(tmp_path / "a.parquet", columns=("image.path", "question")))
    assert read == [(0, {"image": {"path": "p"}, "question": "q"}), (1, {"image": None, "question": None})]
    with pytest.raises(BadInput, match="expected the columns answer, got image"):
        list(read_parquet(tmp_path / "a.parquet", columns=("question", "answer")))
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match="expected a whole Parquet file"):
        list(read_parquet(tmp_path / "a.parquet", columns=("question",)))


def test_lines_are_numbered_and_blank_ones_passed_over(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a|b\r\n\nc\n")
    assert list(read_lines(tmp_path / "a.txt")) == [(1, "a|b"), (3, "c")]


def test_the_root_reads_tables_of_its_own_only(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out.json").write_text("[1]")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "a.json").write_text("[1]")
    root = Root(tmp_path / "in", "vqa_rad")
    assert list(root.json_rows("loop/loop/a.json")) == [(1, 1)]
    for name in ("../out.json", str(tmp_path / "out.json"), "none.json", "loop"):
        with pytest.raises(BadInput, match="expected"):
            list(root.json_rows(name))

"""Pickles and Parquet files: distributions that carry more than rows, read as nothing but rows and pictures."""

import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.adapters import ADAPTERS, path_vqa, vqa_rad
from ingest.adapters.recognise import recognise_under
from ingest.adapters.root import Root
from ingest.embedded import picture_bytes
from ingest.errors import BadInput
from ingest.quarantine import Reason


def read(name, folder, options=None):
    root = Root(folder, name)
    return list(ADAPTERS[name].read(root, options or ADAPTERS[name].Options())), root.rejections


# ---- path_vqa, and pickles that want to do something


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path(MARKER),))


MARKER = "/tmp/biascarevl-test-pickle-was-executed"


def write_pickle(folder, split, rows, protocol=2):
    path = folder / path_vqa.table_of(split)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(rows if isinstance(rows, bytes) else pickle.dumps(rows, protocol=protocol))


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_path_vqa_reads_the_authors_pickles(tmp_path, protocol):
    row = {"image": "train_0001", "question": "What is it?", "answer": "Yes"}
    write_pickle(tmp_path, "train", [row, row | {"answer": ""}, 3], protocol)
    write_pickle(tmp_path, "validation", [row | {"image": "val_0001"}], protocol)
    samples, rejections = read("path_vqa", tmp_path)
    assert [(s.native_id, s.split, s.image_uris[0]) for s in samples] == [
        ("train/1", "train", "images/train/train_0001.jpg"), ("val/1", "validation", "images/val/val_0001.jpg"),
    ]  # fmt: skip
    assert (samples[0].answer_type, samples[0].options, samples[0].modality) == ("closed", ["yes", "no"], "microscopy")
    assert [each.reason for each in rejections] == [Reason.MISSING_FIELD, Reason.UNREADABLE_ROW]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (pickle.dumps([Malicious()], protocol=0), "GLOBAL"),
        (pickle.dumps([Malicious()], protocol=2), "GLOBAL"),
        (pickle.dumps([Malicious()], protocol=4), "STACK_GLOBAL"),
        (pickle.dumps([Path]), "STACK_GLOBAL"),
        (b"\x80\x02]r\xff\xff\xff\xff.", "memo number"),
        (b"\x80\x02Pid\n.", "PERSID"),
        (b"\x80\x02cposix\nsystem\n(X\x02\x00\x00\x00lsR.", "GLOBAL"),
        (b"\x80\x02]q\x00X\xff\xff\xff\x7f", "ValueError"),
        (b"", "expected a pickle"),
        (b"0.", "expected a pickle"),
        (pickle.dumps({"a": 1}), "expected a list"),
    ],
)
def test_a_pickle_that_is_more_than_data_is_refused_and_nothing_is_executed(tmp_path, content, says):
    write_pickle(tmp_path, "train", content)
    with pytest.raises(BadInput, match=says):
        read("path_vqa", tmp_path)
    assert not Path(MARKER).exists()


# ---- Parquet with the picture inside


def write_pairs(folder, split, *rows):
    (folder / "data").mkdir(parents=True, exist_ok=True)
    pictures = pa.array([{"bytes": content, "path": None} for content, _, _ in rows],
                        pa.struct([("bytes", pa.binary()), ("path", pa.string())]))  # fmt: skip
    table = pa.table({"image": pictures, "question": [q for _, q, _ in rows], "answer": [a for _, _, a in rows]})
    pq.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet", row_group_size=2)


def test_pictures_inside_parquet_files_are_read_by_row(tmp_path):
    write_pairs(tmp_path, "train", (b"one", "Q?", "no"), (b"two", "Q?", "x"), (b"three", " ", "x"), (None, "Q?", "x"))
    samples, rejections = read("vqa_rad", tmp_path)
    root = Root(tmp_path, "vqa_rad")
    assert [sample.native_id for sample in samples] == ["train/1", "train/2", "train/4"]
    assert [picture_bytes(root.resolve(s.image_uris[0])) for s in samples[:2]] == [b"one", b"two"]
    assert [(each.native_id, each.source_row, each.reason) for each in rejections] == [
        ("train/3", 3, Reason.MISSING_FIELD)
    ]
    for uri in (samples[2].image_uris[0], "data/train-00000-of-00001.parquet#4", "data/none.parquet#0"):
        with pytest.raises(FileNotFoundError):
            picture_bytes(root.resolve(uri))
    (tmp_path / "data" / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match="expected pictures"):
        picture_bytes(root.resolve("data/bad.parquet#0"))


def test_a_picture_inside_a_linked_file_outside_the_root_is_not_read(tmp_path):
    write_pairs(tmp_path / "elsewhere", "train", (b"one", "Q?", "no"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.parquet").symlink_to(tmp_path / "elsewhere" / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="inside"):
        Root(tmp_path / "in", "vqa_rad").resolve("a.parquet#0")


def test_pairs_with_a_validation_part_are_pathvqa_and_those_without_vqa_rad(tmp_path):
    write_pairs(tmp_path / "a", "train", (b"", "Q?", "yes"))
    write_pairs(tmp_path / "b", "train", (b"", "Q?", "yes"))
    write_pairs(tmp_path / "b", "validation", (b"", "Q?", "yes"))
    assert [(each.adapter, each.folder.name) for each in recognise_under(tmp_path)] == [
        ("vqa_rad", "a"),
        ("path_vqa", "b"),
    ]


def test_vqa_rad_reads_one_layout_never_both(tmp_path):
    row = {"qid": 1, "image_name": "a.jpg", "question": "Q?", "answer": "x", "phrase_type": "freeform"}
    (tmp_path / vqa_rad.TABLE).write_text(json.dumps([row]))
    write_pairs(tmp_path / "hub", "train", (b"", "Q?", "yes"), (b"", "Q?", "no"))
    layouts = {"json": 1, "parquet": 2}
    for layout, number in layouts.items():
        samples, _ = read("vqa_rad", tmp_path, vqa_rad.Options(layout=vqa_rad.Layout(layout)))
        assert len(samples) == number
    assert len(read("vqa_rad", tmp_path)[0]) == layouts["json"]

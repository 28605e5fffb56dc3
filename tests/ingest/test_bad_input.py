"""What broken downloads hold: each is one clear error, or a row set aside under its reason."""

import csv
import json
import re

import pytest

from ingest.adapters import ADAPTERS
from ingest.adapters.recognise import recognise_under
from ingest.adapters.root import Root
from ingest.errors import BadInput
from ingest.quarantine import Reason
from ingest.simulate import WRITERS
from ingest.simulate.planted import Images, Plan

JSON_TABLES = {
    "pubmedvision": "PubMedVision_Alignment_VQA.json", "vqa_rad": "VQA_RAD Dataset Public.json",
    "slake": "Slake1.0/train.json", "imed361m": "SimThoraxCT/dataset.json",
}  # fmt: skip
CSV_TABLES = {"pmc_vqa": ("train.csv", "Question"), "kvasir_vqa": ("metadata.csv", "img_id")}


@pytest.fixture
def tree(tmp_path):
    """A data set without defects in its native layout; (folder, options)."""

    def write(name):
        plan = Plan(num_samples=100, seed=4, progress=lambda num_written: None, images=Images.NONE)
        WRITERS[name](tmp_path / "tree" / name, 40, plan)
        return tmp_path / "tree" / name

    return write


def read(name, folder):
    root = Root(folder, name, pixels=False)
    return list(ADAPTERS[name].read(root, ADAPTERS[name].Options())), root.rejections


def first_description(folder):
    return next(folder.glob("*/dataset.json")).relative_to(folder)


@pytest.mark.parametrize("name", JSON_TABLES)
@pytest.mark.parametrize("damage", ["truncated", "utf-16", "latin-1"])
def test_a_truncated_or_wrongly_encoded_json_file_is_named(tree, name, damage):
    folder = tree(name)
    path = folder / (first_description(folder) if name == "imed361m" else JSON_TABLES[name])
    text = path.read_text(encoding="utf-8")
    if damage == "truncated":
        path.write_text(text[: len(text) * 2 // 3], encoding="utf-8")
    else:
        path.write_bytes(re.sub(r'": "', '": "é', text, count=1).encode(damage, "replace"))
    with pytest.raises(BadInput, match=rf"{re.escape(path.name)}.*expected.*JSON.* in UTF-8, got"):
        read(name, folder)


@pytest.mark.parametrize("name", CSV_TABLES)
def test_a_csv_without_a_column_is_named_and_one_with_a_column_more_is_read(tree, name):
    folder = tree(name)
    table, column = CSV_TABLES[name]
    before, _ = read(name, folder)
    rows = list(csv.reader((folder / table).open(newline="", encoding="utf-8")))
    with (folder / table).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*row, f"extra {number}"] for number, row in enumerate(rows))
    assert read(name, folder)[0] == before
    with (folder / table).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*rows[:2], [*rows[2], "one field too many"], *rows[3:]])
    samples, rejections = read(name, folder)
    assert len(samples) == len(before) - 1
    assert [(each.reason, each.source_row) for each in rejections] == [(Reason.UNREADABLE_ROW, 3)]
    place = rows[0].index(column)
    with (folder / table).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(row[:place] + row[place + 1 :] for row in rows)
    with pytest.raises(BadInput, match=rf"{table}: expected the columns {column}, got "):
        read(name, folder)


@pytest.mark.parametrize("outward", ["../../../../etc/passwd", "../" * 40 + "etc/passwd"])
@pytest.mark.parametrize("name", ["pubmedvision", "slake", "vqa_rad"])
def test_names_that_lead_out_of_the_root_are_set_aside(tree, name, outward):
    folder = tree(name)
    path = folder / JSON_TABLES[name]
    key = {"pubmedvision": "image", "slake": "img_name", "vqa_rad": "image_name"}[name]
    rows = json.loads(path.read_text(encoding="utf-8"))
    rows[0][key] = [outward] if name == "pubmedvision" else outward
    path.write_text(json.dumps(rows), encoding="utf-8")
    _, rejections = read(name, folder)
    assert [each.reason for each in rejections] == [Reason.OUTSIDE_ROOT]
    assert "passwd" not in rejections[0].detail


def test_an_absolute_name_stays_below_the_root(tmp_path):
    root = Root(tmp_path, "pubmedvision")
    assert root.inside("images/" + "/etc/passwd") == "images//etc/passwd"
    assert root.resolve("images//etc/passwd").is_relative_to(tmp_path)
    with pytest.raises(ValueError, match="inside"):
        root.resolve("/etc/passwd")
    for name in ("a" * 256, "é" * 128, "a/" * 2000):
        with pytest.raises(ValueError, match="bytes"):
            root.resolve(name)


def test_loops_of_links_end(tree, tmp_path):
    folder = tree("pmc_vqa")
    (folder / "deep").symlink_to(folder)
    (tmp_path / "tree" / "all").symlink_to(tmp_path / "tree")
    assert [each.adapter for each in recognise_under(tmp_path)] == ["pmc_vqa"]
    (folder / "train.csv").unlink()
    (folder / "train.csv").symlink_to(folder / "train.csv")
    assert all(sample.split == "test" for sample in read("pmc_vqa", folder)[0])
    (folder / "test.csv").unlink()
    (folder / "test.csv").symlink_to(folder / "train.csv")
    with pytest.raises(BadInput, match=r"expected train\.csv or its test part"):
        read("pmc_vqa", folder)


def test_an_empty_folder_is_no_data_set(tmp_path):
    for name, adapter in ADAPTERS.items():
        assert adapter.recognise(tmp_path, tmp_path) is None, name

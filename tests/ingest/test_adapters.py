import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ingest.adapters import ADAPTERS, imed361m, isic2018, vqa_rad
from ingest.adapters.recognise import recognise_under, unrecognised_under
from ingest.adapters.root import Root
from ingest.adapters.rows import read_csv
from ingest.errors import BadInput
from ingest.quarantine import Reason
from ingest.simulate import simulate

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


def read(name, folder, options=None, **root_options):
    adapter = ADAPTERS[name]
    root = Root(folder, name, **root_options)
    return list(adapter.read(root, options or adapter.Options())), root.rejections


# ---- imed361m


def write_source(folder, *, labels=("liver", "spleen"), modality="ct", entries=(), test=(), pictures=()):
    (folder / "image").mkdir(parents=True)
    (folder / "label").mkdir()
    for stem in pictures:
        Image.new("L", (2, 2)).save(folder / "image" / f"{stem}.png")
    description = {
        "name": folder.name,
        "modality": {"0": modality},
        "labels": {"0": "background"} | {str(i): label for i, label in enumerate(labels, 1)},
        "training": [entry_of(stem) for stem in entries],
        "test": [entry_of(stem) for stem in test],
    }
    (folder / "dataset.json").write_text(json.dumps(description))


def entry_of(stem):
    return {"image": f"image/{stem}.png", "label": f"label/x___{stem}.(2, 2, 2, 1).npz"}


def write_label(folder, stem, channels_TP):
    indices = [np.flatnonzero(channel) for channel in channels_TP]
    np.savez(
        folder / "label" / f"x___{stem}.(2, 2, 2, 1).npz", format=np.array(b"csr"),
        indices=np.concatenate(indices).astype(np.int32), shape=np.array(np.shape(channels_TP)),
        indptr=np.cumsum([0, *map(len, indices)]), data=np.ones(sum(map(len, indices)), np.int32),
    )  # fmt: skip


def test_imed361m_names_the_channels_that_are_not_empty(tmp_path):
    write_source(tmp_path / "BTCV", entries=["A_01_1", "A_01_2"], test=["A_02_1"], pictures=["A_01_1", "A_03_1"])
    for stem in ("A_01_1", "A_01_2", "A_02_1"):
        write_label(tmp_path / "BTCV", stem, [[0, 0, 0, 0], [1, 0, 0, 0]])
    samples, rejections = read("imed361m", tmp_path)
    first, second, in_test, unlisted = samples
    assert not rejections
    assert (first.native_id, first.split, first.task) == ("BTCV/A_01_1", "train", "segmentation")
    assert (first.mask_targets, first.labels, first.mask_area_fraction) == (["spleen"], ["spleen"], [0.25])
    assert (first.modality, first.modality_source, first.modality_raw) == ("computed_tomography", "metadata", "ct")
    assert (first.anatomy, first.anatomy_source, first.label_space) == ("abdomen", "curated", "BTCV")
    assert first.image_uris == ["BTCV/image/A_01_1.png"]
    assert first.patient_id == second.patient_id != in_test.patient_id
    assert in_test.split == "test"
    assert (unlisted.task, unlisted.split, unlisted.labels) == ("unlabelled", None, None)


def test_imed361m_reads_one_source_folder_as_its_own_root(tmp_path):
    write_source(tmp_path / "BTCV", entries=["A_01_1"])
    write_label(tmp_path / "BTCV", "A_01_1", [[0, 0, 0, 0], [1, 0, 0, 0]])
    ((inside,), _), ((outside,), _) = read("imed361m", tmp_path / "BTCV"), read("imed361m", tmp_path)
    assert inside.sample_id == outside.sample_id
    assert inside.image_uris == ["image/A_01_1.png"]


def test_imed361m_sets_bad_masks_aside_each_with_its_reason(tmp_path):
    write_source(tmp_path / "S", entries=["A_1_1", "A_1_2", "A_1_3", "../../../A_1_4"], pictures=["A_1_3"])
    write_label(tmp_path / "S", "A_1_1", [[1, 0, 0, 0]])
    (tmp_path / "S" / "label" / "x___A_1_2.(2, 2, 2, 1).npz").write_bytes(b"PK broken")
    samples, rejections = read("imed361m", tmp_path)
    assert not samples
    assert [each.reason for each in rejections] == [
        Reason.MASK_NAME_DISAGREES, Reason.MASK_CORRUPT, Reason.MASK_ABSENT, Reason.OUTSIDE_ROOT,
    ]  # fmt: skip
    assert rejections[0].sample.native_id == "S/A_1_1"


def test_imed361m_a_slice_of_which_nothing_was_fetched_lacks_its_picture_not_its_mask(tmp_path):
    write_source(tmp_path / "S", entries=["A_1_1"])
    ((sample,), rejections) = read("imed361m", tmp_path)
    assert not rejections
    assert (sample.task, sample.mask_targets) == ("segmentation", None)


def test_imed361m_opens_no_mask_when_pixels_are_not_wanted(tmp_path):
    write_source(tmp_path / "S", entries=["A_1_1"])
    (tmp_path / "S" / "label" / "x___A_1_1.(2, 2, 2, 1).npz").write_bytes(b"never opened")
    ((sample,), rejections) = read("imed361m", tmp_path, pixels=False)
    assert not rejections
    assert (sample.mask_targets, sample.task) == (None, "segmentation")


def test_imed361m_a_slice_without_any_target_is_counted_not_trained(tmp_path):
    write_source(tmp_path / "S", entries=["A_1_1"])
    write_label(tmp_path / "S", "A_1_1", [[0, 0, 0, 0], [0, 0, 0, 0]])
    ((sample,), _) = read("imed361m", tmp_path)
    assert (sample.task, sample.mask_targets) == ("unlabelled", [])


@pytest.mark.parametrize("content", ["{", "[]", '{"labels": {"1": "a"}}', '{"labels": {"x": "a"}, "training": [1]}'])
def test_imed361m_a_broken_description_stops_at_once(tmp_path, content):
    write_source(tmp_path / "S")
    (tmp_path / "S" / "dataset.json").write_text(content)
    with pytest.raises(BadInput, match=r"dataset\.json.*expected"):
        read("imed361m", tmp_path)


# ---- vqa_rad

ROW = {
    "qid": 7, "phrase_type": "freeform", "qid_linked_id": "NULL", "image_case_url": "http://case/1",
    "image_name": "synpic1.jpg", "image_organ": "CHEST", "evaluation": "NULL", "question": "Is it big?",
    "question_rephrase": "NULL", "question_relation": "NULL", "question_frame": "NULL", "question_type": "SIZE",
    "answer": "Yes", "answer_type": "CLOSED",
}  # fmt: skip


def read_questions(folder, *changes):
    (folder / vqa_rad.TABLE).write_text(json.dumps([ROW | change for change in changes]))
    return read("vqa_rad", folder)


def test_vqa_rad_cleans_the_texts(tmp_path):
    samples, rejections = read_questions(
        tmp_path, {"question": " Is the\theart  big? ", "answer_type": "CLOSED "}, {"qid": 8, "answer": 3},
        {"qid": 9, "phrase_type": "test_para", "image_case_url": "NULL", "answer": " Left ", "answer_type": "OPEN"},
    )  # fmt: skip
    first, number, in_test = samples
    assert not rejections
    assert (first.native_id, first.question, first.answer_type) == ("7", "Is the heart big?", "closed")
    assert (first.options, first.split, first.study_id) == (["yes", "no"], "train", "http://case/1")
    assert (first.figure_id, first.image_uris) == ("synpic1.jpg", ["VQA_RAD Image Folder/synpic1.jpg"])
    assert (first.anatomy, first.anatomy_source) == ("chest", "metadata")
    assert (number.answer, number.options) == ("3", None)
    assert (in_test.answer, in_test.split, in_test.study_id) == ("Left", "test", None)


def test_vqa_rad_questions_vote_for_the_modality_and_answers_never(tmp_path):
    samples, _ = read_questions(
        tmp_path, {"question": "Is there a mass in this CT?"}, {"qid": 8, "question": "What is it?", "answer": "MRI"},
        {"qid": 9, "image_name": "b.jpg", "question": "In this CT, is it big?"},
        {"qid": 10, "image_name": "b.jpg", "question": "Where is the mass in the MRI?"},
        {"qid": 11, "image_name": "c.jpg", "question": "Is this an MRI?", "answer": "no"},
    )  # fmt: skip
    assert [sample.modality for sample in samples] == ["computed_tomography"] * 2 + ["unknown"] * 3
    assert [sample.modality_source for sample in samples] == ["rule"] * 2 + [None] * 3


def test_vqa_rad_incomplete_rows_are_set_aside(tmp_path):
    (tmp_path / vqa_rad.TABLE).write_text(json.dumps([ROW | {"answer": "NULL"}, 3, ROW | {"image_name": "../../x"}]))
    samples, rejections = read("vqa_rad", tmp_path)
    assert not samples
    assert [each.reason for each in rejections] == [Reason.MISSING_FIELD, Reason.UNREADABLE_ROW, Reason.OUTSIDE_ROOT]


# ---- isic2018


def write_truth(folder, part, rows, header=("image", *isic2018.CLASSES)):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"ISIC2018_Task3_{part}_GroundTruth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_metadata(path, *rows):
    with path.open("w", newline="") as file:
        header = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
        csv.writer(file).writerows([header, *rows])
    return isic2018.Options(metadata=path)


def test_isic2018_joins_the_metadata_and_keeps_age_zero(tmp_path):
    write_truth(tmp_path, "Training", [("I1", 0, 1, 0, 0, 0, 0, 0), ("I2", 1, 0, 0, 0, 0, 0, 0)])
    write_truth(tmp_path, "Test", [("I3", "0.0", "0.0", "0.0", "0.0", "0.0", "0.0", "1.0")])
    options = write_metadata(
        tmp_path / "m.csv", ("H1", "I1", "nv", "histo", "0.0", "female", "scalp"),
        ("H2", "I2", "mel", "histo", "", "unknown", "unknown"),
    )  # fmt: skip
    (young, blank, in_test), rejections = read("isic2018", tmp_path, options)
    assert not rejections
    assert (young.labels, young.age_years, young.sex, young.anatomy) == (["NV"], 0.0, "female", "scalp")
    assert (young.study_id, young.split, young.modality) == ("H1", "train", "dermoscopy")
    assert young.image_uris == ["ISIC2018_Task3_Training_Input/I1.jpg"]
    assert (blank.age_years, blank.sex, blank.anatomy, blank.anatomy_source) == (None, "unknown", "unknown", None)
    assert (in_test.split, in_test.labels, in_test.study_id, in_test.sex) == ("test", ["VASC"], None, None)


def test_isic2018_maps_columns_by_their_header_in_either_layout(tmp_path):
    folder = tmp_path / "ISIC2018_Task3_Validation_GroundTruth"
    write_truth(folder, "Validation", [(1, "I1", 0, 0, 0, 0, 0, 0)], header=("VASC", "image", *isic2018.CLASSES[:6]))
    (tmp_path / f"{isic2018.GROUPINGS}.csv").write_text("image,lesion_id,diagnosis_confirm_type\nI1,H9,x\n")
    ((sample,), _) = read("isic2018", tmp_path)
    assert (sample.labels, sample.split, sample.study_id) == (["VASC"], "validation", "H9")


def test_isic2018_rows_that_are_not_one_hot_are_set_aside(tmp_path):
    rows = [("I1", *[0] * 7), ("I2", 1, 1, *[0] * 5), ("I3", "x", *[0] * 6), ("", 1, *[0] * 6), ("I5", 1),
            ("../../I6", 1, *[0] * 6)]  # fmt: skip
    write_truth(tmp_path, "Training", rows)
    samples, rejections = read("isic2018", tmp_path)
    assert not samples
    expected = [Reason.LABEL_INVALID] * 3 + [Reason.MISSING_FIELD, Reason.UNREADABLE_ROW, Reason.OUTSIDE_ROOT]
    assert [each.reason for each in rejections] == expected


def test_isic2018_a_missing_column_or_table_stops_at_once(tmp_path):
    with pytest.raises(BadInput, match="ground truth"):
        read("isic2018", tmp_path)
    write_truth(tmp_path, "Training", [], header=("image", "MEL"))
    with pytest.raises(BadInput, match=r"GroundTruth\.csv: expected the columns NV"):
        read("isic2018", tmp_path)


# ---- the root and the recognition


def test_nothing_leads_out_of_the_root(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_text("s")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "root" / "inside").write_text("i")
    root = Root(tmp_path / "root", "vqa_rad")
    for name in ("../secret", str(tmp_path / "secret"), "link", "a/../../secret", "", "a\0b"):
        with pytest.raises(ValueError, match="expected"):
            root.resolve(name)
        assert not root.exists(name)
    assert root.exists("inside")
    with pytest.raises(BadInput, match="expected a folder"):
        Root(tmp_path / "absent", "vqa_rad")


def test_ragged_csv_rows_are_told_apart(tmp_path):
    (tmp_path / "a.csv").write_text("\ufeffa,b\n1,2\n\n3\n", encoding="utf-8")
    assert list(read_csv(tmp_path / "a.csv")) == [(2, {"a": "1", "b": "2"}), (4, None)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder, num_samples=320, seed=5)
    return folder


def test_what_is_not_recognised_is_listed(corpus, tmp_path):
    (tmp_path / "downloads" / "odd").mkdir(parents=True)
    (tmp_path / "downloads" / "corpus").symlink_to(corpus)
    found = recognise_under(tmp_path)
    assert {each.adapter for each in found} == {"imed361m", "vqa_rad", "isic2018"}
    (isic,) = [each for each in found if each.adapter == "isic2018"]
    assert isic.options.metadata.name == isic2018.METADATA
    assert unrecognised_under(tmp_path / "downloads", found) == [tmp_path / "downloads" / "odd"]
    assert imed361m.recognise(corpus, corpus) is None


@pytest.mark.skipif(not REAL.is_dir(), reason="the real samples lie elsewhere")
def test_the_real_files_hold_what_is_known_of_them():
    tasks = [sample.task for sample in read("imed361m", REAL / "imed361m")[0]]
    assert (tasks.count("segmentation"), tasks.count("unlabelled")) == (93, 1)
    assert len(read("vqa_rad", REAL / "vqa_rad")[0]) == 669
    options = isic2018.Options(metadata=REAL / "ham10000" / isic2018.METADATA)
    splits = [sample.split for sample in read("isic2018", REAL / "isic2018_task3", options)[0]]
    assert [splits.count(split) for split in ("train", "validation", "test")] == [890, 97, 378]

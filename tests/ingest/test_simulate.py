import hashlib
import json
from collections import Counter

import numpy as np
import pytest

from ingest.adapters import ADAPTERS
from ingest.adapters.recognise import recognise_under
from ingest.adapters.root import Root
from ingest.errors import BadInput
from ingest.images import describe_image, read_image
from ingest.masks import read_masks
from ingest.pixels import CorruptImage
from ingest.sample import age_band_of
from ingest.simulate import PROFILES, Profile, share_out, simulate
from ingest.simulate.pictures import SIDE_PX, Kind, Shape, mask_of
from ingest.simulate.planted import Images

NUM_SAMPLES = 1200


def digests_of(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    planted = json.loads(simulate(folder, num_samples=NUM_SAMPLES, seed=3).read_text())
    return folder, planted


def rows_of(folder):
    """Per data set: its folder and all samples."""
    for found in recognise_under(folder):
        root = Root(found.folder, found.adapter)
        yield found.adapter, found.folder, list(ADAPTERS[found.adapter].read(root, found.options)), root.rejections


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(tmp_path / name, num_samples=60, seed=seed)
    assert digests_of(tmp_path / "a") == digests_of(tmp_path / "b")
    assert digests_of(tmp_path / "a") != digests_of(tmp_path / "c")


def test_the_planted_shares_are_what_the_adapters_read(corpus):
    folder, planted = corpus
    for name, _, samples, rejections in rows_of(folder):
        account = planted["datasets"][name]
        bad = {row["native_id"] for row in planted["quarantine"] if row["dataset"] == name}
        twice = {row["native_id"] for row in planted["quarantine"] if row["reason"] == "duplicated_id"}
        assert account["num_rows"] == len(samples) + len(rejections)
        entering = {s.native_id: s for s in samples if s.native_id not in bad or s.native_id in twice}.values()
        read = {
            "modality": Counter(str(s.modality) for s in entering),
            "anatomy": Counter(str(s.anatomy) for s in entering),
            "sex": Counter(s.sex for s in entering),
            "age_band": Counter(age_band_of(s.age_years) or "__missing__" for s in entering),
            "label": Counter(label for s in entering for label in (s.labels or [s.answer])),
        }
        assert len(entering) == account["num_samples"]
        for attribute, counts in account["counts"].items():
            assert counts == read[attribute], (name, attribute)
            assert sum(account["shares"][attribute].values()) == pytest.approx(1)


def test_the_planted_defects_are_there_and_below_four_percent(corpus):
    folder, planted = corpus
    reasons = {row["reason"] for row in planted["quarantine"]}
    assert reasons >= {"image_absent", "image_corrupt", "mask_name_disagrees", "mask_absent", "duplicated_id"}
    for name, root, samples, rejections in rows_of(folder):
        bad = [row for row in planted["quarantine"] if row["dataset"] == name]
        assert 0 < len(bad) < 0.04 * planted["datasets"][name]["num_rows"]
        expected = {row["native_id"]: row["reason"] for row in bad}
        assert all(expected[each.native_id] == each.reason for each in rejections)
        for sample in samples:
            path = root / sample.image_uris[0]
            reason = expected.get(sample.native_id)
            assert path.is_file() == (reason != "image_absent")
            if reason == "image_corrupt":
                with pytest.raises(CorruptImage):
                    describe_image(path)


def test_the_planted_duplicates_are_equal_files_of_two_persons_on_two_sides(corpus):
    folder, planted = corpus
    assert {row["dataset"] for row in planted["duplicates"]} == {"imed361m", "vqa_rad", "isic2018"}
    for name, root, samples, _ in rows_of(folder):
        by_id = {sample.native_id: sample for sample in samples}
        for row in planted["duplicates"]:
            if row["dataset"] == name:
                one, other = by_id[row["native_id"]], by_id[row["other_native_id"]]
                assert (one.split, other.split) == ("train", "test")
                assert one.image_uris != other.image_uris
                assert (one.patient_id, one.study_id, one.figure_id) != (
                    other.patient_id,
                    other.study_id,
                    other.figure_id,
                )
                contents = {(root / sample.image_uris[0]).read_bytes() for sample in (one, other)}
                assert len(contents) == 1


def test_only_planted_duplicates_look_alike(corpus):
    folder, planted = corpus
    hashes = Counter()
    for path in sorted(folder.rglob("*.jpg")) + sorted(folder.rglob("*.png")):
        try:
            hashes[describe_image(path).perceptual_hash] += 1
        except CorruptImage:
            continue
    assert sum(count - 1 for count in hashes.values()) == len(planted["duplicates"])


@pytest.mark.parametrize("num_samples", [600, NUM_SAMPLES])
def test_enough_persons_of_either_sex_in_the_test_split(tmp_path, num_samples):
    planted = json.loads(simulate(tmp_path / "raw", num_samples=num_samples, seed=8).read_text())
    (samples,) = [samples for name, _, samples, _ in rows_of(tmp_path / "raw") if name == "isic2018"]
    persons = {sex: {s.study_id for s in samples if s.split == "test" and s.sex == sex} for sex in ("female", "male")}
    account = planted["datasets"]["isic2018"]
    assert account["floor_met"]
    assert account["test_persons_by_sex"] == {sex: len(ids) for sex, ids in persons.items()}
    assert min(map(len, persons.values())) >= 60
    melanoma = account["association"]["share_by_sex"]
    assert melanoma["male"] > 1.3 * melanoma["female"]


def test_a_small_corpus_says_that_the_floor_is_not_promised(tmp_path):
    planted = json.loads(simulate(tmp_path / "raw", num_samples=120, seed=1).read_text())
    assert not planted["datasets"]["isic2018"]["floor_promised"]
    assert planted["quarantine"] == planted["duplicates"] == []


@pytest.mark.parametrize("num_samples", [40, 300, 599])
def test_any_size_is_readable_and_clean_enough(tmp_path, num_samples):
    planted = json.loads(simulate(tmp_path / "raw", num_samples=num_samples, seed=4).read_text())
    assert sum(account["num_rows"] for account in planted["datasets"].values()) == num_samples
    assert sum(len(samples) + len(bad) for _, _, samples, bad in rows_of(tmp_path / "raw")) == num_samples
    for name, account in planted["datasets"].items():
        assert sum(row["dataset"] == name for row in planted["quarantine"]) < 0.04 * account["num_rows"]
    if num_samples >= 300:
        reasons = {row["reason"] for row in planted["quarantine"]}
        assert reasons >= {"image_absent", "image_corrupt", "mask_name_disagrees", "duplicated_id"}
        assert planted["duplicates"]


def test_masks_lie_on_the_bright_shapes(corpus):
    folder, _ = corpus
    _, root, samples, _ = next(each for each in rows_of(folder) if each[0] == "imed361m")
    for sample in [s for s in samples if s.split == "test" and s.task == "segmentation"][:20]:
        image_HW = read_image(root / sample.image_uris[0])[..., 0].astype(float)
        masks_THW = read_masks(root / sample.mask_uri, len(sample.mask_targets))
        outside = image_HW[~masks_THW.any(0)].mean()
        assert all(image_HW[mask_HW].mean() > outside + 25 for mask_HW in masks_THW)
        assert masks_THW.sum(0).max() == 1


def test_every_kind_of_shape_fits_its_radius():
    rows_H1, columns_1W = np.ogrid[0:SIDE_PX, 0:SIDE_PX]
    for kind in Kind:
        mask_HW = mask_of(Shape(kind, 48, 48, 15, (0.0,)))
        assert 150 < mask_HW.sum() < 750
        assert not mask_HW[np.hypot(rows_H1 - 48, columns_1W - 48) > 15 * 1.3].any()


def test_a_folder_with_other_files_is_left_alone_and_an_earlier_simulation_is_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(BadInput, match="expected an empty folder"):
        simulate(tmp_path / "mine", num_samples=60, seed=1)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    with pytest.raises(BadInput, match="expected at least"):
        simulate(tmp_path / "raw", num_samples=3, seed=1)
    done = []
    simulate(tmp_path / "raw", num_samples=80, seed=1, progress=done.append)
    assert sum(done) == 80
    simulate(tmp_path / "raw", num_samples=60, seed=1)
    simulate(tmp_path / "fresh", num_samples=60, seed=1)
    assert digests_of(tmp_path / "raw") == digests_of(tmp_path / "fresh")


def test_without_pixels_the_tables_stay_whole_and_no_picture_is_written(tmp_path):
    simulate(tmp_path / "none", num_samples=900, seed=2, images=Images.NONE)
    planted = json.loads((tmp_path / "none" / "planted.json").read_text())
    assert not list(tmp_path.rglob("*.jpg")) + list(tmp_path.rglob("*.png")) + list(tmp_path.rglob("*.npz"))
    assert sum(account["num_rows"] for account in planted["datasets"].values()) == 900
    assert planted["duplicates"] == []
    reasons = {row["reason"] for row in planted["quarantine"]}
    assert reasons == {"duplicated_id", "label_invalid", "missing_field"}


def test_a_sample_of_the_pictures_is_one_in_a_hundred(tmp_path):
    simulate(tmp_path / "some", num_samples=1200, seed=2, images=Images.SAMPLE)
    assert len(list((tmp_path / "some" / "isic2018").rglob("*.jpg"))) == 5  # of 480


def test_the_published_corpus_has_its_published_sizes():
    assert sum(PROFILES[Profile.PAPER].values()) == 3_440_000
    assert sum(share_out(50_000, Profile.EVERY).values()) == 50_000

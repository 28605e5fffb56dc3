"""A device that stamps its pictures is found out where it goes with a label, and left alone where it does not."""

import hashlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from PIL import Image, ImageDraw
from sklearn.metrics import roc_auc_score

from ingest.attributes import connect_table
from ingest.census import CensusConfig, encode, take_census, with_partners
from ingest.census.detectability import Pictures, detectability
from ingest.census.guard import NOBODY
from ingest.census.picture_sample import sample_pictures
from ingest.census.reading_off import _auc_with_error, _Fold, _fold_aucs, read_off
from ingest.disguise import HiddenFolder, hidden_name
from ingest.picture_features import features_of
from ingest.sample import Sample, to_table
from ingest.workspace import Workspace

NUM_PERSONS = 160


def film(generator, *, stamped):
    """Grey noise of a random darkness, and a machine's name in its corner."""
    noise = generator.normal(generator.uniform(60, 120), 25, (96, 128)).clip(0, 190).astype(np.uint8)
    picture = Image.fromarray(noise)
    if stamped:
        ImageDraw.Draw(picture).text((3, 2), "MAKER A 1234", fill=255)
    return picture


def films(folder, *, stamps, goes_with_label, seed=0):
    """160 persons, half on either device; the finding is at 80 and 20 % where it goes with the device."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(NUM_PERSONS):
        device = "A" if number % 2 else "B"
        chance = (0.8 if device == "A" else 0.2) if goes_with_label else 0.5
        path = folder / f"{number}.png"
        film(generator, stamped=stamps and device == "A").save(path)
        rows.append(
            Sample(sample_id=str(number), dataset="a", native_id=str(number), patient_id=str(number), modality="x_ray",
                   manufacturer=device, sex="female" if generator.random() < 0.5 else "male", image_status="present",
                   labels=["mass"] if generator.random() < chance else ["none"], image_uris=[path.name],
                   image_sha256=[hashlib.sha256(path.read_bytes()).hexdigest()], width_px=128, height_px=96)
        )  # fmt: skip
    return to_table(rows)


def measured(folder, table, *, guard_of=None, cache=None):
    connection = connect_table(table)
    coded = encode(connection, with_partners(["sex"]))
    pictures = Pictures({"a": folder}, cache or folder / "cache.parquet", 1000)
    found, notes = detectability(
        connection, coded, ["sex"], pictures, guard=guard_of(coded, ["sex"]) if guard_of else NOBODY
    )
    return {(row["attribute"], row["label"]): row for row in found.to_pylist()}, notes


def test_a_stamp_that_goes_with_the_finding_is_a_risk(tmp_path):
    rows, notes = measured(tmp_path, films(tmp_path, stamps=True, goes_with_label=True))
    device, sex = rows["manufacturer", "mass"], rows["sex", "mass"]
    assert device["auc"] > 0.97 and device["utility"] > 0.4
    assert device["risk"] == pytest.approx(device["utility"] * (2 * device["auc"] - 1))
    assert device["low"] > 0.3 and device["q_value"] < 0.05 < sex["q_value"] and sex["risk"] < 0.1
    assert (device["num_pictures"], device["num_levels"], device["family_size"]) == (160, 2, 4)
    alone = rows["manufacturer", None]
    assert alone["auc"] == device["auc"] and alone["risk"] is None and alone["q_value"] < 0.05
    assert alone["family_size"] == 2 and rows["sex", None]["q_value"] > 0.05  # all of one data set, all X-rays
    assert notes[0] == "detectability: 160 pictures were looked at, one per person"


@pytest.mark.parametrize(("stamps", "goes_with_label"), [(False, True), (True, False), (False, False)])
def test_half_a_shortcut_is_none(tmp_path, stamps, goes_with_label):
    """Read off but of no use, or of use but not to be read off: never flagged."""
    rows, _ = measured(tmp_path, films(tmp_path, stamps=stamps, goes_with_label=goes_with_label, seed=3))
    assert {row["q_value"] > 0.05 for (_, label), row in rows.items() if label} == {True}
    assert (rows["manufacturer", None]["q_value"] < 0.05) == stamps


def test_pictures_seen_before_are_not_opened_again(tmp_path):
    table = films(tmp_path, stamps=True, goes_with_label=True)
    first, _ = measured(tmp_path, table)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    assert measured(tmp_path, table)[0] == first
    (tmp_path / "cache.parquet").unlink()
    rows, notes = measured(tmp_path, table)
    assert rows == {} and notes == [
        "detectability: no picture was looked at", "detectability: 160 of 160 chosen pictures did not open"
    ]  # fmt: skip


def test_a_picture_that_changed_is_looked_at_again(tmp_path):
    table = films(tmp_path, stamps=False, goes_with_label=True)
    before, _ = measured(tmp_path, table)
    after, _ = measured(tmp_path, films(tmp_path, stamps=True, goes_with_label=True))  # the same names, other content
    assert before["manufacturer", None]["auc"] < 0.7 and after["manufacturer", None]["auc"] > 0.97


def test_a_picture_that_does_not_open_is_left_out_and_told(tmp_path):
    table = films(tmp_path, stamps=True, goes_with_label=True)
    (tmp_path / "7.png").write_bytes(b"no picture")
    rows, notes = measured(tmp_path, table)
    assert rows["manufacturer", "mass"]["num_pictures"] == NUM_PERSONS - 1
    assert "detectability: 1 of 160 chosen pictures did not open" in notes


@pytest.mark.parametrize("has_finding", [True, False])
def test_few_persons_with_a_finding_or_without_one_are_not_told(tmp_path, guard_of, has_finding):
    table = films(tmp_path, stamps=True, goes_with_label=True)
    labels = [["rare"] if (number < 5) == has_finding else ["none"] for number in range(NUM_PERSONS)]
    table = table.set_column(table.column_names.index("labels"), table.schema.field("labels"), [labels])
    rows, _ = measured(tmp_path, table, guard_of=guard_of)
    hidden = [row for (_, label), row in rows.items() if label]
    assert len(hidden) == 4 and {row["suppressed"] for row in hidden} == {True}
    assert {row[name] for row in hidden for name in ("risk", "utility", "auc", "p_value", "num_persons")} == {None}
    assert rows["manufacturer", None]["num_pictures"] == NUM_PERSONS  # the reading alone says nothing of the finding


def test_pictures_under_disguised_names_are_found(tmp_path):
    table = films(tmp_path, stamps=True, goes_with_label=True)
    hidden = [[hidden_name("a", uri, b"k" * 16) for uri in uris] for uris in table["image_uris"].to_pylist()]
    table = table.set_column(table.column_names.index("image_uris"), table.schema.field("image_uris"), [hidden])
    rows, _ = measured(HiddenFolder(tmp_path, "a", b"k" * 16), table, cache=tmp_path / "cache.parquet")
    assert rows["manufacturer", "mass"]["num_pictures"] == NUM_PERSONS


def census_of_sites(folder, *, leaks):
    """Two sites, one with more findings; ``leaks``: one of them writes its name on its pictures."""
    tables = []
    for number, (site, chance) in enumerate((("north", 0.8), ("south", 0.2))):
        (folder / site).mkdir()
        generator = np.random.default_rng(number)
        for person in range(60):
            path = folder / site / f"{person}.png"
            film(generator, stamped=leaks and site == "north").save(path)
            tables.append(
                Sample(sample_id=f"{site}{person}", dataset=site, native_id=str(person), patient_id=str(person),
                       modality="x_ray", image_status="present", image_uris=[path.name], source_file="x",
                       image_sha256=[hashlib.sha256(path.read_bytes()).hexdigest()], width_px=128, height_px=96,
                       labels=["mass"] if generator.random() < chance else ["none"])
            )  # fmt: skip
    workspace = Workspace(folder / "work")
    write_deltalake(workspace.samples, to_table(tables), partition_by=["dataset"])
    roots = {site: folder / site for site in ("north", "south")}
    config = CensusConfig(attributes=("sex",), num_resamples=100)
    take_census(workspace, config, identifiable=set(), roots=roots)
    rows = pq.read_table(workspace.census / "detectability.parquet").to_pylist()
    return {(row["attribute"], row["label"]): row for row in rows}


def test_a_site_that_leaks_through_its_pixels_is_found(tmp_path):
    rows = census_of_sites(tmp_path, leaks=True)
    assert rows["dataset", "mass"]["q_value"] < 0.05 and rows["dataset", "mass"]["low"] > 0.3


def test_a_site_that_does_not_is_not(tmp_path):
    rows = census_of_sites(tmp_path, leaks=False)
    assert rows["dataset", "mass"]["utility"] > 0.4 and rows["dataset", "mass"]["q_value"] > 0.05
    assert rows["dataset", None]["auc_low"] < 0.5


def test_the_contrast_that_the_simulation_plants_gives_sex_away(refreshed):
    rows = pq.read_table(refreshed.workspace.census / "detectability.parquet").to_pylist()
    (sex,) = [row for row in rows if row["attribute"] == "sex" and row["label"] is None]
    assert sex["auc_low"] > 0.6 and sex["q_value"] < 0.05


def test_the_census_without_pictures_says_so(tmp_path):
    workspace = Workspace(tmp_path / "work")
    write_deltalake(workspace.samples, films(tmp_path, stamps=False, goes_with_label=False))
    take_census(workspace, CensusConfig(attributes=("sex",), num_resamples=100), identifiable=set())
    assert pq.read_table(workspace.census / "detectability.parquet").num_rows == 0
    assert "no picture was looked at" in (workspace.census / "census.json").read_text()
    assert not workspace.picture_features.exists()


def test_one_picture_per_person_and_equal_parts_of_what_there_is():
    rows = [
        Sample(sample_id=f"{modality}{number}{view}", dataset="a", native_id="x", patient_id=f"{modality}{number}",
               modality=modality, image_status="present", image_uris=["x.png"], image_sha256=[f"{modality}{number}"])
        for modality, persons in (("x_ray", 50), ("ultrasound", 4)) for number in range(persons) for view in "ab"
    ]  # fmt: skip
    sample = sample_pictures(connect_table(to_table(rows)), ["modality"], ["a"], number=20, seed=0)
    assert len(set(sample["picture"].to_pylist())) == sample.num_rows == 20
    assert sorted(sample["level_modality"].to_pylist()) == ["ultrasound"] * 4 + ["x_ray"] * 16
    assert sample_pictures(connect_table(to_table(rows)), [], ["b"], number=20, seed=0).num_rows == 0


def test_the_auc_is_that_of_sklearn_and_its_error_that_of_redraws():
    generator = np.random.default_rng(2)

    def fold():
        codes = np.repeat([0, 1, 2], 40)
        scores = generator.normal(codes[:, None] == np.arange(3), 1.0).round(1)  # with ties
        ranks = np.apply_along_axis(lambda one: np.unique(one, return_inverse=True)[1], 0, scores)
        return codes, _Fold(codes, np.apply_along_axis(_midranks, 0, ranks).astype(float)), scores

    codes, one, scores = fold()
    assert _fold_aucs(one) == pytest.approx([roc_auc_score(codes == k, scores[:, k]) for k in range(3)])
    redrawn = [_auc_with_error([fold()[1]])[0] for _ in range(300)]
    assert _auc_with_error([one])[1] == pytest.approx(np.std(redrawn), rel=0.25)


def _midranks(values):
    return np.array([(values < one).sum() + ((values == one).sum() + 1) / 2 for one in values])


def test_noise_is_read_off_no_more_often_than_chance_has_it():
    p_values = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        reading = read_off(
            generator.normal(size=(60, 10)), generator.integers(0, 2, 60), generator=generator, min_persons=1
        )
        assert reading is not None and reading.low <= reading.auc <= reading.high
        p_values.append(reading.p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.125 and 0.3 < np.mean(p_values) < 0.7


def test_too_few_persons_at_two_levels_are_not_read():
    codes = np.array([0] * 50 + [1] * 14 + [-1] * 20)
    assert read_off(np.zeros((84, 3)), codes, generator=np.random.default_rng(0), min_persons=1) is None


def test_features_see_the_corner_that_is_written_on():
    generator = np.random.default_rng(0)
    plain, stamped = (features_of(film(generator, stamped=one)) for one in (False, True))
    assert plain.shape == stamped.shape == (74,) and (plain[:64] ** 2).sum() == pytest.approx(1)
    assert stamped[65] > plain[65] + 0.1 and stamped[69] > 0.05 > plain[69]  # edges and bright pixels, top left
    assert stamped[66] == pytest.approx(plain[66], abs=0.05)
    assert plain[64] == pytest.approx(np.log(128 / 96))

import json
import os
import shutil

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from flows.config import load_config
from flows.runner import PIPELINES, run_pipeline
from ingest.dataset_config import DatasetConfig
from ingest.errors import BadInput, BiasCareError, GateRefused
from ingest.sample import SCHEMA, Sample, to_table
from ingest.validate import rules_of, validate, write_validation
from ingest.workspace import Workspace, is_fresh, publishing, tree_digest, write_stamp


def refresh(folder):
    return run_pipeline(load_config(folder / "demo.toml"), PIPELINES["refresh"])


def table(path):
    return DeltaTable(path).to_pyarrow_table()


def test_rows_in_are_samples_and_quarantine(refreshed, simulated):
    planted = json.loads((simulated / "raw" / "planted.json").read_text())
    samples, quarantine = table(refreshed.workspace.samples), table(refreshed.workspace.quarantine)
    assert set(samples.schema.names) == set(SCHEMA.names)
    for name, account in planted["datasets"].items():
        num_samples = samples["dataset"].to_pylist().count(name)
        assert num_samples + quarantine["dataset"].to_pylist().count(name) == account["num_rows"]


def test_every_planted_defect_is_quarantined_under_its_reason(refreshed, simulated):
    planted = json.loads((simulated / "raw" / "planted.json").read_text())
    found = {
        (row["dataset"], row["native_id"], row["reason"]) for row in table(refreshed.workspace.quarantine).to_pylist()
    }
    for defect in planted["quarantine"]:
        assert (defect["dataset"], defect["native_id"], defect["reason"]) in found
    others = {reason for _, _, reason in found} - {defect["reason"] for defect in planted["quarantine"]}
    assert others <= {"leakage"}


def test_no_person_and_no_picture_stands_in_two_splits(refreshed):
    samples = table(refreshed.workspace.samples).to_pylist()
    for key_of in (
        lambda row: row["patient_id"] or row["study_id"] or row["figure_id"],
        lambda row: row["image_sha256"][0],
    ):
        sides = {}
        for row in samples:
            sides.setdefault((row["dataset"], key_of(row)), set()).add(row["split"])
        assert all(len(splits) == 1 for splits in sides.values())


def test_a_changed_dataset_is_read_again_and_the_others_are_not(corpus_copy):
    truth = next((corpus_copy / "raw" / "isic2018").rglob("*Training_GroundTruth.csv"))
    lines = truth.read_text().splitlines()
    truth.write_text("\n".join(lines[:-1]) + "\n")
    stamps = corpus_copy / "work" / "stages"
    before = {path.name: path.stat().st_mtime_ns for path in stamps.glob("read-*.json")}
    refresh(corpus_copy)
    after = {path.name: path.stat().st_mtime_ns for path in stamps.glob("read-*.json")}
    assert {name for name in before if before[name] != after[name]} == {"read-isic2018.json"}
    assert DeltaTable(corpus_copy / "work" / "samples").version() == 1


def test_too_many_bad_rows_stop_the_refresh_and_leave_the_last_version(corpus_copy):
    before = table(corpus_copy / "work" / "samples")
    for path in list((corpus_copy / "raw" / "isic2018").rglob("*.jpg"))[::2]:
        path.unlink()
    with pytest.raises(BiasCareError, match=r"max_bad_share.*image_absent"):
        refresh(corpus_copy)
    assert table(corpus_copy / "work" / "samples").equals(before)
    assert DeltaTable(corpus_copy / "work" / "samples").version() == 0


def test_absent_pictures_that_are_allowed_are_counted_and_never_packed(corpus_copy):
    config = corpus_copy / "demo.toml"
    config.write_text(
        config.read_text().replace('root = "raw/isic2018"', 'root = "raw/isic2018"\nallow_absent_images = true')
    )
    pictures = sorted((corpus_copy / "raw" / "isic2018").rglob("*.jpg"))
    for path in pictures[:10]:
        path.unlink()
    refresh(corpus_copy)
    rows = [row for row in table(corpus_copy / "work" / "samples").to_pylist() if row["image_status"] == "absent"]
    assert len(rows) >= 10 and all(row["image_sha256"] is None for row in rows)
    packed = (corpus_copy / "work" / "shards" / "index.parquet").read_bytes()
    assert all(row["sample_id"].encode() not in packed for row in rows)


def test_an_official_split_is_guarded_instead_of_moved(corpus_copy):
    config = corpus_copy / "demo.toml"
    config.write_text(config.read_text().replace('root = "raw/vqa_rad"', 'root = "raw/vqa_rad"\nsplit = "official"'))
    with pytest.raises(GateRefused, match=r'split = "official".*same_figure'):
        refresh(corpus_copy)
    assert DeltaTable(corpus_copy / "work" / "samples").version() == 0
    kinds = ("same_image", "same_study", "same_figure")
    named = "\n".join(f'leakage.{kind} = "drop_from_train"' for kind in kinds)
    config.write_text(config.read_text().replace("[shards]", f"[gates]\n{named}\n[shards]"))
    actions = set(refresh(corpus_copy)["curate"]["leakage"])
    assert {f"{kind}:dropped_from_train" for kind in kinds} <= actions


def test_a_killed_stage_runs_again(corpus_copy):
    (corpus_copy / "work" / "stages" / "curate.json").unlink()
    shutil.rmtree(corpus_copy / "work" / "census")
    summaries = refresh(corpus_copy)
    assert set(summaries) >= {"curate", "census"}
    assert (corpus_copy / "work" / "census" / "counts.parquet").exists()


def test_an_empty_dataset_is_bad_input_before_anything_is_written(corpus_copy):
    shutil.rmtree(corpus_copy / "work")
    (corpus_copy / "raw" / "vqa_rad" / "VQA_RAD Dataset Public.json").write_text("[]")
    with pytest.raises(BadInput, match="empty dataset"):
        refresh(corpus_copy)
    assert not (corpus_copy / "work").exists()


def good(**changes):
    fields = {"sample_id": "s", "dataset": "d", "native_id": "n", "split": "train", "task": "vqa", "question": "q",
              "answer": "a", "source_file": "f", "image_uris": ["i.png"], "width_px": 5, "height_px": 5}  # fmt: skip
    return Sample(**(fields | changes))


def connection_of(samples):
    connection = duckdb.connect()
    table = to_table(samples)
    connection.register("rows", table.append_column("pos", pa.array(range(table.num_rows), pa.int64())))
    return connection


def checks_of(samples):
    return validate(connection_of(samples))


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"age_years": -1.0}, "age_years"),
        ({"age_years": 300.0}, "age_years"),
        ({"sex": "M"}, "sex"),
        ({"modality": "ct"}, "modality"),
        ({"skin_type": 7}, "skin_type"),
        ({"answer": None}, "vqa_has_question_and_answer"),
        ({"task": "classification", "labels": None}, "classes_have_a_label"),
        ({"mask_uri": "m.npz", "image_uris": []}, "masks_have_an_image"),
        ({"mask_targets": ["liver"], "mask_area_fraction": [0.1, 0.2]}, "targets_match_areas"),
        ({"mask_targets": ["liver"], "mask_area_fraction": [1.5]}, "mask_area_highest"),
        ({"width_px": 0}, "width_px"),
    ],
)
def test_a_row_that_breaks_the_contract_is_named(changes, column):
    checks = checks_of([good(), good(sample_id="bad", **changes)])
    assert [(check.column, check.failed.tolist()) for check in checks if not check.success] == [(column, [1])]


def test_a_sample_id_that_occurs_twice_fails_in_both_rows():
    (check,) = [check for check in checks_of([good(), good(), good(sample_id="t")]) if not check.success]
    assert (check.expectation, check.failed.tolist()) == ("expect_column_values_to_be_unique", [0, 1])


def test_what_duckdb_counts_is_what_the_library_counts():
    import great_expectations as gx

    rows = [
        good(), good(sample_id="a", age_years=-1.0), good(sample_id="b", sex="M", skin_type=9), good(sample_id="c"),
        good(sample_id="d", answer="", task="vqa"), good(sample_id="e", split=None), good(sample_id="f", width_px=0),
        good(sample_id="g", mask_area_fraction=[2.0], mask_targets=["x"]), good(sample_id="g"), good(modality="ct"),
    ]  # fmt: skip
    connection = connection_of(rows)
    ours = validate(connection)
    frame = connection.execute("SELECT * FROM checked").df().astype({"skin_type": "Int64"})
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("samples").add_dataframe_asset("samples")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    for rule, check in zip(rules_of(gx.expectations), ours, strict=True):
        if check.expectation == "expect_column_values_to_be_of_type":  # pandas has other names for types
            continue
        theirs = batch.validate(rule.expectation)
        assert theirs.result["unexpected_count"] == check.failed.size, (check.column, check.expectation)
        assert theirs.success == check.success == check.library_result["success"]


def test_the_validation_page_loads_nothing(tmp_path):
    write_validation(tmp_path / "validation", checks_of([good(), good(sample_id="b", sex="<b>")]))
    page = (tmp_path / "validation" / "index.html").read_text()
    assert "http" not in page and "src=" not in page and "1 rows set aside" in page
    assert json.loads((tmp_path / "validation" / "results.json").read_text())["success"] is False


def test_what_is_published_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "folder"
    with pytest.raises(RuntimeError), publishing(target) as staged:
        staged.mkdir()
        (staged / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    for content in ("one", "two"):
        with publishing(target) as staged:
            staged.mkdir()
            (staged / "file").write_text(content)
    assert (target / "file").read_text() == "two" and len(list(tmp_path.iterdir())) == 1


def test_a_stamp_is_worth_nothing_without_its_outputs(tmp_path):
    workspace = Workspace(tmp_path)
    output = tmp_path / "out"
    output.write_text("x")
    write_stamp(workspace, "stage", digest="d", outputs=[output], summary={})
    assert is_fresh(workspace, "stage", "d") and not is_fresh(workspace, "stage", "e")
    output.unlink()
    assert not is_fresh(workspace, "stage", "d")


def test_a_rewritten_file_changes_the_digest_of_its_tree(tmp_path):
    path = tmp_path / "a"
    path.write_text("one")
    before = tree_digest(tmp_path)
    path.write_text("two")
    os.utime(path, ns=(1, 1))
    assert tree_digest(tmp_path) != before


def test_dataset_settings_are_checked(tmp_path):
    with pytest.raises(ValueError, match="max_bad_share"):
        DatasetConfig(adapter="vqa_rad", root=tmp_path, max_bad_share=2)
    with pytest.raises(ValueError, match="max_repeats"):
        DatasetConfig(adapter="vqa_rad", root=tmp_path, max_repeats=0)

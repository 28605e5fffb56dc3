"""Skin lesions and chest X-rays: who they are of, what their rows say, which sides they stand on."""

import zipfile
from collections import Counter
from pathlib import Path

import pytest

from ingest.adapters import ADAPTERS, cxr_lt_2024, mimic_cxr
from ingest.adapters.mimic_reports import section_of
from ingest.adapters.recognise import recognise_under
from ingest.adapters.root import Root
from ingest.errors import BadInput
from ingest.images import read_picture
from ingest.pixels import CorruptImage
from ingest.quarantine import Reason
from ingest.simulate import WRITERS
from ingest.simulate.planted import Plan

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
DICOM_ID = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"


def read(name, folder, options=None, **root_options):
    adapter = ADAPTERS[name]
    root = Root(folder, name, **root_options)
    return list(adapter.read(root, options or adapter.Options())), root.rejections


def write_table(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


# ---- skin lesions


def test_isic2019_joins_metadata_and_keeps_what_is_blank_blank(tmp_path):
    write_table(
        tmp_path / "ISIC_2019_Training_GroundTruth.csv", "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK",
        "ISIC_1_downsampled,0,0,0,1.0,0,0,0,0,0", "ISIC_2,0,0,0,0,0,0,0,1,1", "ISIC_3,0,0,0,0,0,0,0,1,0",
    )  # fmt: skip
    write_table(
        tmp_path / "ISIC_2019_Training_Metadata.csv", "image,age_approx,anatom_site_general,lesion_id,sex",
        "ISIC_1_downsampled,0,palms/soles,BCN_1,female", "ISIC_3,,,,",
    )  # fmt: skip
    write_table(
        tmp_path / "ISIC_2019_Test_Metadata.csv", "image,age_approx,anatom_site_general,sex", "ISIC_9,60,head/neck,male"
    )
    (first, blank, test), (rejection,) = read("isic2019", tmp_path)
    assert (first.labels, first.age_years, first.sex, first.anatomy) == (["AK"], 0.0, "female", "acral")
    assert (first.figure_id, first.study_id) == ("ISIC_1", "BCN_1")
    assert (blank.labels, blank.age_years, blank.sex, blank.study_id, blank.anatomy) == (
        ["SCC"], None, None, None, "unknown"
    )  # fmt: skip
    assert (test.task, test.split, test.labels, test.age_years) == ("unlabelled", "test", None, 60.0)
    assert rejection.reason == Reason.LABEL_INVALID


def test_ham10000_is_a_dataset_of_its_own_only_without_isic2018(tmp_path):
    write_table(
        tmp_path / "ham" / "HAM10000_metadata.csv", "lesion_id,image_id,dx,dx_type,age,sex,localization",
        "HAM_1,ISIC_1,mel,histo,50.0,male,ear", "HAM_1,ISIC_2,odd,histo,50.0,male,ear",
    )  # fmt: skip
    (tmp_path / "ham" / "HAM10000_images_part_2").mkdir()
    (tmp_path / "ham" / "HAM10000_images_part_2" / "ISIC_1.jpg").write_bytes(b"")
    ((sample,), (rejection,)) = read("ham10000", tmp_path / "ham")
    assert (sample.labels, sample.study_id, sample.split, sample.anatomy) == (["MEL"], "HAM_1", None, "ear")
    assert sample.image_uris == ["HAM10000_images_part_2/ISIC_1.jpg"]
    assert rejection.reason == Reason.LABEL_INVALID
    assert [each.adapter for each in recognise_under(tmp_path)] == ["ham10000"]
    write_table(tmp_path / "isic" / "ISIC2018_Task3_Test_GroundTruth.csv", "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC")
    assert [each.adapter for each in recognise_under(tmp_path)] == ["isic2018"]


# ---- chest X-rays


def write_mimic(folder, *, report=None, split="validate"):
    prefix = folder / "mimic-cxr-2.0.0"
    write_table(
        Path(f"{prefix}-metadata.csv"), "dicom_id,subject_id,study_id,ViewPosition,Rows,Columns,StudyDate",
        f"{DICOM_ID},10000032,50414267,PA,3056,2544,21800506", "x,10000032,,PA,1,1,21800506", "ragged,1",
    )  # fmt: skip
    write_table(
        Path(f"{prefix}-split.csv"), "dicom_id,study_id,subject_id,split", f"{DICOM_ID},50414267,10000032,{split}"
    )
    header = ",".join(("subject_id", "study_id", *mimic_cxr.CLASSES))
    values = ",".join("1.0" if name == "Edema" else "-1.0" if name == "Fracture" else "" for name in mimic_cxr.CLASSES)
    write_table(Path(f"{prefix}-chexpert.csv"), header, f"10000032,50414267,{values}")
    hosp = folder / "mimic-iv" / "hosp"
    write_table(hosp / "patients.csv", "subject_id,gender,anchor_age,anchor_year", "10000032,F,52,2180")
    write_table(
        hosp / "admissions.csv", "subject_id,race", "10000032,WHITE - RUSSIAN", "10000032,WHITE", "10000032,UNKNOWN",
        "10000032,ASIAN",
    )  # fmt: skip
    if report:
        with zipfile.ZipFile(folder / "mimic-cxr-reports.zip", "w") as archive:
            archive.writestr("files/p10/p10000032/s50414267.txt", report)
    return mimic_cxr.Options(mimic_iv=folder / "mimic-iv")


def test_mimic_joins_split_labels_report_and_demographics(tmp_path):
    options = write_mimic(
        tmp_path, report="FINAL REPORT\n INDICATION: ___ old.\n\n IMPRESSION: \n\n Mild edema, ___.\n"
    )
    ((sample,), rejections) = read("mimic_cxr", tmp_path, options)
    assert (sample.native_id, sample.split, sample.task) == (DICOM_ID, "validation", "report")
    assert sample.answer == "Mild edema, ___."
    assert (sample.sex, sample.age_years, sample.race) == ("female", 52.0, "white")
    assert (sample.labels, sample.label_space, sample.view) == (["Edema"], "chexpert", "PA")
    assert sample.image_uris == [f"files/p10/p10000032/s50414267/{DICOM_ID}.jpg"]
    assert "10000032" not in str(sample.patient_id)
    assert [each.reason for each in rejections] == [Reason.MISSING_FIELD, Reason.UNREADABLE_ROW]


def test_mimic_without_a_report_is_classes_and_an_odd_split_is_set_aside(tmp_path):
    options = write_mimic(tmp_path)
    assert read("mimic_cxr", tmp_path, options)[0][0].task == "classification"
    options = write_mimic(tmp_path, split="valid")
    samples, rejections = read("mimic_cxr", tmp_path, options)
    assert not samples
    assert rejections[0].reason == Reason.LABEL_INVALID
    (tmp_path / "mimic-cxr-2.0.0-split.csv").unlink()
    with pytest.raises(BadInput, match=r"split\.csv\.gz"):
        read("mimic_cxr", tmp_path, options)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ("FINDINGS: Clear.\n\nIMPRESSION: Normal.\n", ("impression", "Normal.")),
        ("FINDINGS:\n Clear\n lungs.\n", ("findings", "Clear lungs.")),
        ("IMPRESSION:\n\nFINDINGS: Clear.", ("findings", "Clear.")),
        ("WET READ\n\nNothing new,\nas ___ said.\n\n", ("last_paragraph", "Nothing new, as ___ said.")),
        ("ADDENDUM IMPRESSION: none\n ______________\nIMPRESSION: Mass.", ("impression", "Mass.")),
        (" \n \n", None),
    ],
)
def test_the_section_that_is_read(report, expected):
    assert section_of(report) == expected


def test_cxr_lt_takes_its_pictures_from_mimic_and_none_of_the_classes_is_an_answer(tmp_path):
    options = write_mimic(tmp_path / "mimic")
    ids = f"{DICOM_ID},10000032,50414267,PA,postero-anterior"
    for name in ("train_labeled", "test_labeled_task3"):
        write_table(
            tmp_path / "lt" / f"{name}.csv",
            "dicom_id,subject_id,study_id,ViewPosition,ViewCodeSequence_CodeMeaning,fpath,Bulla,Scoliosis",
            f"{ids},files/p10/a.jpg,0,{int(name == 'train_labeled')}", f"{ids},../../a.jpg,0,0", f"{ids},a.jpg,0,7",
        )  # fmt: skip
    options = cxr_lt_2024.Options(images=tmp_path / "mimic", mimic_iv=options.mimic_iv)
    (train, test), rejections = read("cxr_lt_2024", tmp_path / "lt", options, images=options.images)
    assert (train.labels, train.split, train.label_space) == (["Scoliosis"], "train", "cxr_lt_2024_task1")
    assert (test.labels, test.split, test.native_id) == ([], "test", f"task3/{DICOM_ID}")
    assert (test.sex, test.age_years, test.image_uris) == ("female", 52.0, ["files/p10/a.jpg"])
    assert [each.reason for each in rejections] == [Reason.OUTSIDE_ROOT, Reason.LABEL_INVALID] * 2
    (mimic,), _ = read("mimic_cxr", tmp_path / "mimic", mimic_cxr.Options())
    assert (mimic.patient_id, mimic.study_id, mimic.figure_id) == (test.patient_id, test.study_id, test.figure_id)


@pytest.mark.parametrize("name", ["isic2019", "ham10000", "mimic_cxr", "cxr_lt_2024"])
def test_what_was_planted_is_what_is_read(tmp_path, name):
    planted = WRITERS[name](tmp_path / name, 300, Plan(num_samples=300, seed=3, progress=lambda num_written: None))
    (mine,) = [each for each in recognise_under(tmp_path) if each.adapter == name]
    samples, rejections = read(name, mine.folder, mine.options)
    in_pixels = {"image_corrupt", "image_absent"}
    expected = {(row["native_id"], row["reason"]) for row in planted.quarantine if row["reason"] not in in_pixels}
    assert {(each.native_id, str(each.reason)) for each in rejections} == expected
    bad = {row["native_id"] for row in planted.quarantine}
    good = [sample for sample in samples if sample.native_id not in bad]
    assert len(good) + len(bad) == planted.num_rows == 300
    for sex, number in planted.counts["sex"].items():
        assert sum((sample.sex or "__missing__") == sex for sample in good) == number


@pytest.mark.skipif(not REAL.is_dir(), reason="the real samples lie elsewhere")
def test_the_real_files_hold_what_is_known_of_them():
    samples, rejections = read("isic2019", REAL / "isic2019")
    assert [sum(s.split == split for s in samples) for split in ("train", "test")] == [524, 200]
    samples, more = read("ham10000", REAL / "ham10000")
    assert len(samples) == 890
    assert not rejections + more
    schema = REAL / "mimic_cxr_schema"
    assert read("mimic_cxr", schema, mimic_cxr.Options(mimic_iv=schema / "mimic-iv")) == ([], [])
    assert read("cxr_lt_2024", REAL / "cxr_lt_2024_schema" / "cxr-lt-2024") == ([], [])


@pytest.mark.skipif(not REAL.is_dir(), reason="the real samples lie elsewhere")
def test_the_real_dicom_nifti_and_tables_hold_what_is_known_of_them():
    """76 DICOM files, 64 with pixels; 3 ultrasound pictures show print; one NIfTI is a header alone."""
    samples, rejections = read("dicom", REAL / "dicom")
    assert (len(samples), [str(each.reason) for each in rejections]) == (73, ["burned_in_annotation"] * 3)
    allowed, none = read("dicom", REAL / "dicom", ADAPTERS["dicom"].Options(allow_burned_in=True))
    assert (len(allowed), none) == (76, [])
    outcomes = Counter(_outcome(REAL / "dicom" / sample.image_uris[0]) for sample in allowed)
    assert outcomes == {"shown": 60, "no_pixels": 12, "image_corrupt": 4}
    volumes, (header,) = read("nifti", REAL / "nifti")
    assert (len(volumes), header.reason) == (3, Reason.NO_PIXELS)
    columns = {"image": "md5hash", "skin_type": "fitzpatrick_scale", "label": "label"}
    table = REAL / "fitzpatrick17k" / "fitzpatrick17k.csv"
    rows, none = read(
        "table", table.parent, ADAPTERS["table"].Options(table=table, columns=columns, image_suffix=".jpg")
    )
    assert (len(rows), none) == (400, [])
    assert {row.skin_type for row in rows} == {None, 1, 2, 3, 4, 5, 6}


def _outcome(path):
    try:
        read_picture(path)
    except CorruptImage as error:
        return str(error.reason)
    return "shown"


def test_a_table_joins_by_configuration_alone_and_refuses_what_it_cannot_read(tmp_path):
    write_table(
        tmp_path / "t.csv", "file,mrn,gender,years,fst,pneumonia,effusion",
        "a.jpg,7,F,63,2.0,1,0", "b.jpg,7,,-4,-1,0,0", "c.jpg,8,M,300,9,1,0", "../d.jpg,8,M,1,1,1,0", ",8,M,1,1,1,0",
        "e.jpg,8,M,old,1,1,0", "f.jpg,8",
    )  # fmt: skip
    columns = {"image": "file", "patient_id": "mrn", "sex": "gender", "age_years": "years", "skin_type": "fst",
               "labels": ["pneumonia", "effusion"]}  # fmt: skip
    options = ADAPTERS["table"].Options(table=tmp_path / "t.csv", columns=columns)
    (first, second), rejections = read("table", tmp_path, options)
    assert (first.sex, first.age_years, first.skin_type, first.labels) == ("female", 63.0, 2, ["pneumonia"])
    assert (second.sex, second.age_years, second.skin_type, second.labels) == (None, -4.0, None, [])
    assert first.patient_id == second.patient_id != "7"
    assert [str(each.reason) for each in rejections] == [
        "label_invalid", "outside_root", "missing_field", "label_invalid", "unreadable_row",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="expected keys among"):
        ADAPTERS["table"].Options(table=tmp_path / "t.csv", columns={"image": "file", "shoe_size": "x"})

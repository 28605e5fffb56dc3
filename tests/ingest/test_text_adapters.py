"""The question sets in their own layouts: what each of their quirks becomes."""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.adapters import ADAPTERS, kvasir_vqa, path_vqa, pmc_vqa, pubmedvision, slake, vqa_med_2019, vqa_rad
from ingest.adapters.root import Root
from ingest.errors import BadInput
from ingest.quarantine import Reason

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


def read(name, folder, options=None):
    root = Root(folder, name)
    adapter = ADAPTERS[name]
    return list(adapter.read(root, adapter.Options() if options is None else options)), root.rejections


def write_json(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


# ---- pubmedvision


def talk(number, *, modality="Computed Tomography", question="What is it?", answer="A cyst.", pictures=1, **changes):
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    images = [f"images/pmc_{number}_{view}.jpg" for view in range(pictures)]
    return {"image": images, "conversations": turns, "id": f"Alignment_VQA_{number}", "modality": modality,
            "body_part": "Chest"} | changes  # fmt: skip


def test_pubmedvision_keeps_a_row_of_many_pictures_whole_and_both_files_on_one_figure(tmp_path):
    write_json(tmp_path / pubmedvision.ALIGNMENT, [talk(4, pictures=29)])
    write_json(
        tmp_path / pubmedvision.INSTRUCTION,
        [talk(4, question=" Teacher: what\n\u00a0is it? ", id="Instruction-Tuning_4")],
    )
    (first, second), rejections = read("pubmedvision", tmp_path)
    assert not rejections
    assert (len(first.image_uris), first.image_uris[28]) == (29, "images/pmc_4_28.jpg")
    assert first.figure_id == second.figure_id == "pmc_4"
    assert (second.native_id, second.question, second.source_row) == ("Instruction-Tuning_4", "Teacher: what is it?", 1)
    assert (first.modality, first.modality_source, first.anatomy_source) == ("computed_tomography", "model", "model")


@pytest.mark.parametrize(
    ("raw", "question", "expected"),
    [
        ("Others", "What does the chest X-ray show?", ("x_ray", "rule")),
        ("Others", "What does it show?", ("other", "model")),
        ("Computed Tomography", "What does this ultrasound show?", ("computed_tomography", "model")),
        ("Bone scan", "What is seen?", ("scintigraphy", "model")),
        ("Novel words", "What is seen?", ("unknown", None)),
        ("Others", "Is this an MRI?", ("other", "model")),
    ],
)
def test_pubmedvision_believes_the_question_only_where_the_model_has_no_class(tmp_path, raw, question, expected):
    write_json(tmp_path / pubmedvision.ALIGNMENT, [talk(1, modality=raw, question=question)])
    ((sample,), _) = read("pubmedvision", tmp_path)
    assert (sample.modality, sample.modality_source, sample.modality_raw) == (*expected, raw)


@pytest.mark.parametrize(("made", "uri"), [("images/images", "images/images/pmc_1_0.jpg"), (".", "pmc_1_0.jpg")])
def test_pubmedvision_finds_pictures_however_they_were_unpacked(tmp_path, made, uri):
    write_json(tmp_path / pubmedvision.ALIGNMENT, [talk(1)])
    (tmp_path / made).mkdir(parents=True, exist_ok=True)
    (tmp_path / made / "pmc_1_0.jpg").write_bytes(b"")
    ((sample,), _) = read("pubmedvision", tmp_path)
    assert sample.image_uris == [uri]


def test_pubmedvision_sets_rows_aside_and_counts_what_has_no_answer(tmp_path):
    rows = [talk(1, answer=" "), talk(2, question=""), talk(3, image=[]), talk(4, image=["../../x.jpg"]), 5,
            talk(6, conversations=[{"from": "gpt", "value": "x"}]), talk(7, image=[3])]  # fmt: skip
    write_json(tmp_path / pubmedvision.INSTRUCTION, rows)
    (blank,), rejections = read("pubmedvision", tmp_path)
    assert (blank.task, blank.answer) == ("unlabelled", None)
    assert [each.reason for each in rejections] == [
        Reason.MISSING_FIELD, Reason.MISSING_FIELD, Reason.OUTSIDE_ROOT, Reason.UNREADABLE_ROW, Reason.MISSING_FIELD,
        Reason.UNREADABLE_ROW,
    ]  # fmt: skip
    assert [each.native_id for each in rejections][-2:] == ["Alignment_VQA_6", "Alignment_VQA_7"]


# ---- pmc_vqa

FIGURES_HEADER = "Figure_path,Question,Answer,Choice A,Choice B,Choice C,Choice D,Answer_label\n"
PANELS_HEADER = "index,Figure_path,Caption,Question,Choice A,Choice B,Choice C,Choice D,Answer,split\n"


def test_pmc_vqa_reads_the_answer_out_of_letters_and_texts(tmp_path):
    choices = " A:Red , B: Green,C:Blue, D:None "
    rows = [
        f"PMC1_F1.jpg, What colour?,Green,{choices},B",
        f"PMC1_F1.jpg,What?,green,{choices},",
        f"PMC1_F2.jpg,What?,x,{choices},'C'",
        f"PMC2_F1.jpg,What?,x,{choices},E",
        "PMC2_F1.jpg,What?,Red,A:,B:b,C:c,D:d,A",
        f"../../PMC2.jpg,What?,x,{choices},A",
        "a,b",
    ]
    (tmp_path / "train.csv").write_text(FIGURES_HEADER + "\n".join(rows))
    samples, rejections = read("pmc_vqa", tmp_path)
    assert [sample.answer for sample in samples] == ["Green", "Green", "Blue"]
    assert samples[0].options == ["Red", "Green", "Blue", "None"]
    assert [sample.figure_id for sample in samples] == ["PMC1_F1", "PMC1_F1", "PMC1_F2"]
    assert (samples[0].question, samples[0].native_id, samples[0].split) == ("What colour?", "train/1", "train")
    assert [each.reason for each in rejections] == [
        Reason.LABEL_INVALID, Reason.MISSING_FIELD, Reason.OUTSIDE_ROOT, Reason.UNREADABLE_ROW,
    ]  # fmt: skip


def test_pmc_vqa_reads_one_version_and_a_panel_goes_with_its_figure(tmp_path):
    (tmp_path / "train.csv").write_text(FIGURES_HEADER + "PMC1_F1.jpg,Q?,a,A:a,B:b,C:c,D:d,A\n")
    row = '35,PMC8_Fig4_11.jpg,"Axial CT, head",Q?, A: a , B: b , C: c , D: d,B,train\n'
    (tmp_path / "train_2.csv").write_text(PANELS_HEADER + row)
    (tmp_path / "test_clean.csv").write_text(FIGURES_HEADER + "PMC2_F1.jpg,Q?,b,A:a,B:b,C:c,D:d,B\n")
    assert [sample.native_id for sample in read("pmc_vqa", tmp_path)[0]] == ["train/1", "test_clean/1"]
    ((panel,), _) = read("pmc_vqa", tmp_path, pmc_vqa.Options(version=pmc_vqa.Version.PANELS))
    assert (panel.native_id, panel.figure_id, panel.answer) == ("train_2/35", "PMC8_Fig4", "b")
    assert (panel.modality, panel.modality_source, panel.anatomy) == ("computed_tomography", "rule", "head")
    assert panel.image_uris == ["figures/PMC8_Fig4_11.jpg"]
    with pytest.raises(BadInput, match="version 2"):
        (tmp_path / "train_2.csv").unlink()
        read("pmc_vqa", tmp_path, pmc_vqa.Options(version=pmc_vqa.Version.PANELS))


# ---- slake, vqa_med_2019, kvasir_vqa


def test_slake_reads_english_by_default_and_keeps_the_language(tmp_path):
    row = {"img_name": "xmlab1/source.jpg", "question": "Is it big?", "answer": "Yes", "q_lang": "en", "qid": 1,
           "location": "Brain_Tissue", "modality": "X-Ray", "answer_type": "CLOSED"}  # fmt: skip
    rows = [row, row | {"q_lang": "zh", "qid": 2, "question": "大吗?", "answer": "是"}, row | {"qid": 3, "answer": ""},
            row | {"qid": 4, "q_lang": "fr"}, dict(reversed(row.items())) | {"qid": 5, "modality": "MRI"}]  # fmt: skip
    write_json(tmp_path / "Slake1.0" / "validate.json", rows)
    samples, rejections = read("slake", tmp_path)
    assert [(s.native_id, s.language, s.modality, s.anatomy) for s in samples] == [
        ("1", "en", "x_ray", "brain"), ("5", "en", "magnetic_resonance", "brain"),
    ]  # fmt: skip
    assert (samples[0].figure_id, samples[0].split, samples[0].options) == ("xmlab1", "validation", ["yes", "no"])
    assert samples[0].image_uris == ["Slake1.0/imgs/xmlab1/source.jpg"]
    assert [(each.native_id, each.reason) for each in rejections] == [
        ("3", Reason.MISSING_FIELD),
        ("4", Reason.LABEL_INVALID),
    ]
    both, _ = read("slake", tmp_path, slake.Options(languages=("en", "zh")))
    assert Counter(sample.language for sample in both) == {"en": 2, "zh": 1}
    with pytest.raises(ValueError, match="languages: expected some of en, zh, got fr"):
        slake.Options(languages=("fr",))


def test_vqa_med_takes_the_first_of_several_answers_and_the_modality_from_questions(tmp_path):
    train, test = (tmp_path / vqa_med_2019.TABLES[split] for split in ("train", "test"))
    for path in (train, test):
        path.parent.mkdir(parents=True)
    train.write_text("synpic1|is this a ct scan?|yes\nsynpic1|what is alarming about this mri?|cyst#mass\nsynpic2|q\n")
    test.write_text("synpic3|organ|what organ is shown in this x-ray?|lung (right)\n\nsynpic3|plane||axial\n")
    samples, rejections = read("vqa_med_2019", tmp_path)
    assert [(s.native_id, s.answer, s.modality) for s in samples] == [
        ("synpic1.1", "yes", "magnetic_resonance"), ("synpic1.2", "cyst", "magnetic_resonance"),
        ("synpic3.1", "lung (right)", "x_ray"),
    ]  # fmt: skip
    assert samples[0].image_uris == ["ImageClef-2019-VQA-Med-Training/Train_images/synpic1.jpg"]
    assert (samples[2].figure_id, samples[2].split, samples[2].source_row) == ("synpic3.jpg", "test", 1)
    assert [each.reason for each in rejections] == [Reason.UNREADABLE_ROW, Reason.MISSING_FIELD]


def test_kvasir_reads_its_table_its_parquet_files_or_an_experiment(tmp_path):
    (tmp_path / kvasir_vqa.EXPERIMENT).write_text("question,answer,generated_answer\n<MedVQA>What is it?,polyp,polyp\n")
    ((bare,), _) = read("kvasir_vqa", tmp_path)
    assert (bare.question, bare.image_uris, bare.figure_id) == ("What is it?", [], None)
    (tmp_path / "data").mkdir()
    table = pa.table(
        {
            "image": [{"bytes": b"x", "path": None}],
            "source": ["s"],
            "question": ["Q?"],
            "answer": ["a"],
            "img_id": ["c1"],
        }
    )
    pq.write_table(table, tmp_path / "data" / "raw-00000-of-00001.parquet")
    ((inside,), _) = read("kvasir_vqa", tmp_path)
    assert inside.image_uris == ["data/raw-00000-of-00001.parquet#0"]
    (tmp_path / kvasir_vqa.TABLE).write_text("source,question,answer,img_id\ns,Q?,a,c1\ns,Q?,,c1\ns,Q?,Yes,c1\n")
    samples, rejections = read("kvasir_vqa", tmp_path)
    assert [(s.native_id, s.image_uris[0], s.answer_type) for s in samples] == [
        ("c1.1", "images/c1.jpg", "open"), ("c1.3", "images/c1.jpg", "closed"),
    ]  # fmt: skip
    assert [(each.native_id, each.reason) for each in rejections] == [("c1.2", Reason.MISSING_FIELD)]
    assert (samples[0].modality, samples[0].anatomy, samples[0].split) == ("endoscopy", "gastrointestinal", None)


@pytest.mark.parametrize(
    ("name", "folder", "options", "number"),
    [
        ("pubmedvision", "pubmedvision", pubmedvision.Options(), 15),
        ("pubmedvision", "pubmedvision", pubmedvision.Options(captions=True), 15 + 5),
        ("pmc_vqa", "pmc_vqa", pmc_vqa.Options(), 4),
        ("pmc_vqa", "pmc_vqa", pmc_vqa.Options(version=pmc_vqa.Version.PANELS), 1),
        ("vqa_rad", "vqa_rad", vqa_rad.Options(), 669),
        ("vqa_rad", "vqa_rad", vqa_rad.Options(layout=vqa_rad.Layout.PARQUET), 48),
        ("path_vqa", "path_vqa", path_vqa.Options(), 460),
        ("slake", "slake", slake.Options(), 249),
        ("slake", "slake", slake.Options(languages=("en", "zh")), 500),
        ("vqa_med_2019", "vqa_med_2019", vqa_med_2019.Options(), 250 + 400),
        ("kvasir_vqa", "kvasir_vqa", kvasir_vqa.Options(), 120),
    ],
)
@pytest.mark.skipif(not REAL.is_dir(), reason="the real samples lie elsewhere")
def test_the_real_samples_have_the_row_counts_they_are_known_to_have(name, folder, options, number):
    samples, rejections = read(name, REAL / folder, options)
    assert len(samples) == number
    assert not rejections

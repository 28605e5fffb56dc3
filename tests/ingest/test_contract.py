"""What every adapter keeps, on its own native layout: one parametrised story for all of ADAPTERS."""

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from ingest.adapters import ADAPTERS
from ingest.adapters.recognise import recognise_under
from ingest.adapters.root import Root
from ingest.anatomy import Anatomy
from ingest.modality import Modality
from ingest.quarantine import rejections_to_table
from ingest.sample import SCHEMA, AnswerType, Sex, Source, Split, Task, age_band_of, sample_id_of, to_table
from ingest.simulate import WRITERS
from ingest.simulate.planted import Images, Plan

NUM_ROWS = 320
VOCABULARIES = {
    "split": set(Split), "task": set(Task), "modality": set(Modality), "anatomy": set(Anatomy), "sex": set(Sex),
    "modality_source": set(Source), "anatomy_source": set(Source), "answer_type": set(AnswerType),
    "skin_type": set(range(1, 7)),
}  # fmt: skip
MAY_BE_NULL = set(VOCABULARIES) - {"task", "modality", "anatomy"}


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Adapter name -> (folder, options, what was planted), each tree written once."""
    base, written = tmp_path_factory.mktemp("trees"), {}

    def tree_of(name):
        if name not in written:
            plan = Plan(num_samples=1000, seed=11, progress=lambda num_written: None, images=Images.ALL)
            planted = WRITERS[name](base / name / name, NUM_ROWS, plan)
            (found,) = [each for each in recognise_under(base / name) if each.adapter == name]
            written[name] = found.folder, found.options, planted
        return written[name]

    return tree_of


def read(name, folder, options, *, pixels=True):
    root = Root(folder, name, pixels=pixels)
    return list(ADAPTERS[name].read(root, options)), root.rejections


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_row_is_a_sample_or_a_rejection_and_the_same_ones_the_next_time(trees, name):
    folder, options, planted = trees(name)
    samples, rejections = read(name, folder, options)
    assert len(samples) + len(rejections) == planted.num_rows == NUM_ROWS
    again, rejected_again = read(name, folder, options)
    assert again == samples
    assert rejected_again == rejections
    quick, _ = read(name, folder, options, pixels=False)
    assert {sample.sample_id for sample in quick} >= {sample.sample_id for sample in samples}


@pytest.mark.parametrize("name", ADAPTERS)
def test_columns_hold_what_the_schema_and_the_vocabularies_allow(trees, name):
    folder, options, _ = trees(name)
    samples, rejections = read(name, folder, options)
    assert to_table(samples).schema == SCHEMA
    rejections_to_table(rejections)
    for sample in samples:
        assert sample.dataset == name
        assert sample.sample_id == sample_id_of(name, sample.native_id)
        assert sample.licence
        for column, vocabulary in VOCABULARIES.items():
            value = getattr(sample, column)
            assert value in vocabulary or (value is None and column in MAY_BE_NULL), (column, value)
        assert (sample.modality == "unknown") == (sample.modality_source is None)
        assert (sample.anatomy == "unknown") == (sample.anatomy_source is None)
        if sample.task == Task.VQA:
            assert sample.question
            assert sample.answer
            assert sample.options is None or sample.answer.lower() in [option.lower() for option in sample.options]


@pytest.mark.parametrize("name", ADAPTERS)
def test_rows_say_where_they_come_from_and_name_no_path_outside(trees, name):
    folder, options, _ = trees(name)
    samples, rejections = read(name, folder, options)
    root = Root(folder, name)
    places = defaultdict(set)
    for row in [*samples, *rejections]:
        beside = [path.name for path in vars(options).values() if isinstance(path, Path)]
        assert root.exists(row.source_file) or Path(row.source_file).name in beside, row.source_file
        if row.source_row is not None:
            assert row.source_row >= 1
            assert row.native_id not in places[row.source_file, row.source_row]
            places[row.source_file, row.source_row].add(row.native_id)
    for sample in samples:
        for uri in [*sample.image_uris, *([sample.mask_uri] if sample.mask_uri else [])]:
            assert not Path(uri).is_absolute()
            root.resolve(uri)


@pytest.mark.parametrize("name", ADAPTERS)
def test_rejections_carry_no_identifier_and_no_text_of_the_row(trees, name):
    folder, options, planted = trees(name)
    samples, rejections = read(name, folder, options)
    expected = {row["native_id"]: row["reason"] for row in planted.quarantine}
    keys = {key for s in samples for key in (s.native_id, s.figure_id, s.study_id, s.patient_id) if key}
    words = {word for key in keys for word in re.split(r"[/ .]", key) if len(word) > 4 and not word.isalpha()}
    for each in rejections:
        assert expected[each.native_id] == each.reason
        assert "expected" in each.detail
        assert not words & set(re.split(r"[^\w-]", each.detail))


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_planted_is_what_is_read(trees, name):
    folder, options, planted = trees(name)
    samples, rejections = read(name, folder, options)
    bad = {row["native_id"] for row in planted.quarantine}
    twice = {row["native_id"] for row in planted.quarantine if row["reason"] == "duplicated_id"}
    assert 0 < len(planted.quarantine) < 0.04 * NUM_ROWS
    assert {row["reason"] for row in planted.quarantine} >= {str(each.reason) for each in rejections}
    entering = {s.native_id: s for s in samples if s.native_id not in bad or s.native_id in twice}.values()
    assert len(entering) == planted.num_rows - len(planted.quarantine)
    counted = {
        "modality": Counter(str(s.modality) for s in entering),
        "anatomy": Counter(str(s.anatomy) for s in entering),
        "sex": Counter(s.sex or "__missing__" for s in entering),
        "age_band": Counter(age_band_of(s.age_years) or "__missing__" for s in entering),
        "label": Counter(label for s in entering for label in (s.labels or filter(None, [s.answer]))),
    }
    for attribute, counts in planted.counts.items():
        assert counts == counted[attribute], attribute
    by_id = {sample.native_id: sample for sample in samples}
    for row in planted.duplicates:
        pair = by_id[row["native_id"]], by_id[row["other_native_id"]]
        assert [sample.split for sample in pair] == ["train", "test"]
        assert len({(folder / sample.image_uris[0]).read_bytes() for sample in pair}) == 1

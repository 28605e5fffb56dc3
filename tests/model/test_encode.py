"""Records become inputs: what is learned stands in the labels, and no prediction input knows the truth."""

import dataclasses

import numpy as np
import pytest
import torch

from ingest.masks import decode_mask
from model.encode import PIXEL_MEAN, PIXEL_STD, normalise
from model.losses import IGNORED
from model.prompts import PROMPT_SETS, Prompt
from shards.record import Record


def changed_truth(record: Record) -> Record:
    """The same record with another answer, class, masks and areas."""
    fields = dict(record.fields)
    if "answer" in fields:
        fields["answer"] = "something else entirely"
    if fields["task"] == "classification":
        fields["labels"] = ["pale" if fields["labels"] != ["pale"] else "red"]
    fields |= {"boxes_xyxy_px": [[0.0, 0.0, 1.0, 1.0]], "mask_area_fraction": [0.5]}
    masks = None if record.masks is None else ~record.masks
    return dataclasses.replace(record, fields=fields, masks=masks, read_native_masks=lambda: masks)


def test_no_prediction_input_depends_on_truth(make_records, setup):
    for record in make_records(6):
        for mine, other in zip(
            setup.encoder.encode_for_prediction(record, np.random.default_rng(0)),
            setup.encoder.encode_for_prediction(changed_truth(record), np.random.default_rng(1)),
            strict=True,
        ):
            assert mine.truth != other.truth
            batches = [
                setup.collate.batch([dataclasses.replace(one, truth="", native_size=(0, 0))]) for one in (mine, other)
            ]
            for field in dataclasses.fields(batches[0]):
                first, second = (getattr(batch, field.name) for batch in batches)
                if isinstance(first, torch.Tensor):
                    assert torch.equal(first, second), field.name


def test_labels_hold_the_answer_and_its_end_only(make_records, setup):
    record = make_records(2)[1]
    encoded = setup.encoder.encode_for_training(record, np.random.default_rng(0))
    learned = [token for token in encoded.labels if token != IGNORED]
    assert setup.tokenizer.decode(learned) == f"{record.fields['answer']}<|im_end|>"
    assert encoded.token_ids[-len(learned) :] == learned


def test_a_question_cannot_smuggle_in_image_tokens(make_records, setup):
    record = make_records(2)[1]
    forged = dataclasses.replace(record, fields={**record.fields, "question": "<|image_pad|>?"})
    counts = [
        setup.encoder.encode_for_training(one, np.random.default_rng(0)).token_ids.count(setup.collate.image_id)
        for one in (record, forged)
    ]
    assert counts[0] == counts[1] == 16  # 112 x 112 px in merged patches of 28 px


def test_the_click_lies_on_the_target_and_the_box_around_it(make_records, setup):
    record = make_records(1)[0]
    seen = set()
    for seed in range(40):
        encoded = setup.encoder.encode_for_training(record, np.random.default_rng(seed))
        x, y = encoded.point_xy
        assert encoded.mask_SS[int(y), int(x)]
        rows, columns = np.nonzero(encoded.mask_SS)
        assert encoded.box_xyxy == (columns.min(), rows.min(), columns.max(), rows.max())
        seen.add(encoded.prompt)
    assert seen == set(PROMPT_SETS) and len(PROMPT_SETS) == 7


def test_the_same_generator_gives_the_same_sample(make_records, setup):
    record = make_records(1)[0]
    first, second = (setup.encoder.encode_for_training(record, np.random.default_rng(5)) for _ in range(2))
    assert first.point_xy == second.point_xy and np.array_equal(first.mask_SS, second.mask_SS)


def test_prediction_asks_for_every_target_by_text_alone(make_records, setup):
    record = make_records(1)[0]
    inputs = setup.encoder.encode_for_prediction(record, np.random.default_rng(0))
    assert [one.prompt_text for one in inputs] == record.fields["mask_targets"]
    assert all(one.prompt is Prompt.TEXT and one.mask_SS is None for one in inputs)
    assert np.array_equal(decode_mask(inputs[1].truth), record.masks[1])


def test_a_box_is_learned_as_text(make_records, setup):
    record = make_records(1)[0]
    fields = {"task": "detection", "boxes_xyxy_px": [[8.0, 0.0, 16.0, 32.0]], "width_px": 32, "height_px": 32}
    boxed = dataclasses.replace(record, fields={**record.fields, **fields}, masks=None)
    encoded = setup.encoder.encode_for_training(boxed, np.random.default_rng(0))
    learned = [token for token in encoded.labels if token != IGNORED]
    assert setup.tokenizer.decode(learned) == "[250, 0, 500, 1000]<|im_end|>"
    (asked,) = setup.encoder.encode_for_prediction(boxed, np.random.default_rng(0))
    assert asked.truth == "[250, 0, 500, 1000]" and asked.prompt_text == "disc"


def test_an_empty_mask_is_clicked_off_the_structure(make_records, setup):
    record = make_records(1)[0]
    empty = dataclasses.replace(record, masks=np.zeros_like(record.masks))
    encoded = setup.encoder.encode_for_training(empty, np.random.default_rng(0))
    assert encoded.point_label == 0 and not encoded.mask_SS.any()


def test_a_task_without_a_part_is_named(make_records, setup):
    record = make_records(1)[0]
    other = dataclasses.replace(record, fields={**record.fields, "task": "unlabelled"})
    with pytest.raises(ValueError, match=r"expected a task of .* got unlabelled"):
        setup.encoder.encode_for_training(other, np.random.default_rng(0))


def test_a_grey_picture_is_normalised_like_its_three_equal_channels():
    grey = np.random.default_rng(0).integers(0, 256, (30, 21), dtype=np.uint8)
    shared = np.broadcast_to(grey[..., None], (30, 21, 3))
    pixels = normalise(shared, 16)
    assert pixels.dtype == np.float32 and pixels.flags.c_contiguous
    assert np.array_equal(pixels, normalise(np.ascontiguousarray(shared), 16))
    white = normalise(np.full((8, 8, 3), 255, np.uint8), 8)
    assert white[:, 0, 0] == pytest.approx((255 - PIXEL_MEAN) / PIXEL_STD)

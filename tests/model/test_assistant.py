"""A person asks about pictures: all tasks, any marks, any size, and input that is wrong."""

import numpy as np
import pytest
import torch
from PIL import Image

from ingest.errors import BadInput
from model.assistant import Assistant
from model.boxes import box_text, boxes_in
from model.marks import Marks, mask_as_logits, to_network_px
from model.pictures import pixels_of


@pytest.fixture(scope="module")
def assistant(setup):
    return Assistant(setup.network, setup.tokenizer)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)


def test_pictures_of_different_sizes_and_several_per_sample_are_answered_together(assistant):
    samples = [picture(40, 90), [picture(64, 64, 1), picture(33, 50, 2)], picture(10, 10, 3)]
    answers = assistant.generate(samples, ["Is there a disc?", "Do they differ?", ""], max_new_tokens=3)
    assert len(answers) == 3 and all(0 <= answer.uncertainty <= 1 for answer in answers)
    alone = assistant.generate(samples[1:2], ["Do they differ?"], max_new_tokens=3)
    assert alone[0].text == answers[1].text
    assert assistant.generate([], []) == []


def test_classes_of_a_label_space(assistant):
    chances = assistant.classify([picture(20, 30), picture(50, 40, 1)], label_space="colours")
    assert [sorted(row) for row in chances] == [["green", "pale", "red"]] * 2
    assert sum(chances[0].values()) == pytest.approx(1)
    with pytest.raises(BadInput, match="expected one of colours, got 'sizes'"):
        assistant.classify([picture(20, 30)], label_space="sizes")


def test_marks_of_any_kind_give_the_same_alone_and_together(assistant):
    pictures = [picture(60, 80, seed) for seed in range(5)]
    drawn = np.zeros((60, 80), dtype=bool)
    drawn[10:30, 10:40] = True
    marks = [
        Marks(),
        Marks(clicks=[(5, 6, True)]),
        Marks(clicks=[(5, 6, True), (70, 50, False)], box_xyxy_px=(0, 0, 40, 40)),
        Marks(mask_HW=drawn),
        Marks(clicks=[(50, 6, True)]),
    ]
    targets = ["disc", "disc", "", "", "disc"]
    together = assistant.segment(pictures, targets, marks)
    for number, found in enumerate(together):
        (alone,) = assistant.segment([pictures[number]], [targets[number]], [marks[number]])
        assert found.mask_HW.shape == (60, 80) and 0 <= found.uncertainty <= 1
        assert torch.allclose(alone.look.masks.logits_Bhw, found.look.masks.logits_Bhw, atol=1e-4)
    assert not torch.allclose(together[0].look.masks.logits_Bhw, together[1].look.masks.logits_Bhw)


def test_a_click_refines_without_encoding_the_image_again(assistant, monkeypatch):
    (first,) = assistant.segment([picture(60, 80)], ["disc"])
    monkeypatch.setattr(type(assistant.network), "embed_images", None)
    second = assistant.refine(first, x=10, y=20, is_foreground=False)
    third = assistant.refine(second, x=30, y=20, is_foreground=True)
    assert third.look.prompts.labels_BP.tolist() == [[0, 1]]
    assert not torch.equal(second.look.masks.logits_Bhw, third.look.masks.logits_Bhw)
    with pytest.raises(BadInput, match="point: expected one inside the picture of 80 x 60 px, got 80,20"):
        assistant.refine(first, x=80, y=20, is_foreground=True)


def test_detection_speaks_in_thousandths_and_the_mask_has_a_box(assistant):
    text = box_text((10, 0, 20, 30), width_px=40, height_px=60)
    assert text == "[250, 0, 500, 500]"
    assert boxes_in(f"Here: {text}. [9, 9, 9, 9] [0, 0, 2000, 1]", width_px=40, height_px=60) == [(10, 0, 20, 30)]
    assert len(assistant.detect([picture(20, 20)], ["disc"])) == 1
    (found,) = assistant.segment([picture(60, 80)], ["disc"])
    rows, columns = np.nonzero(found.mask_HW)
    expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None
    assert found.box_xyxy_px == expected


@pytest.mark.parametrize(
    ("marks", "target", "message"),
    [
        (Marks(clicks=[(-1, 5, True)]), "", "point: expected one inside the picture of 80 x 60 px, got -1,5"),
        (Marks(box_xyxy_px=(10, 10, 10, 20)), "", "box: expected x0 < x1 and y0 < y1"),
        (Marks(box_xyxy_px=(20, 10, 10, 20)), "", "box: expected x0 < x1"),
        (Marks(box_xyxy_px=(0, 0, 99, 20)), "", "inside the picture of 80 x 60 px"),
        (Marks(mask_HW=np.zeros((3, 3), dtype=bool)), "", "mask: expected 60 x 80 as the picture, got 3 x 3"),
        (Marks(), "", "expected the name of a structure, a click, a box or a mask, got none"),
    ],
)
def test_marks_that_say_nothing_are_refused(assistant, marks, target, message):
    with pytest.raises(BadInput, match=message):
        assistant.segment([picture(60, 80)], [target], [marks])


def test_a_question_longer_than_the_network_reads_is_refused(assistant):
    with pytest.raises(BadInput, match=r"expected at most 2048 tokens of text and pictures, got 200\d\d"):
        assistant.generate([picture(20, 20)], ["?!" * 10_000])


def write_pictures(folder):
    """Files of the kinds that break readers, each a defined picture."""
    grey = np.linspace(0, 60_000, 400).astype(np.uint16).reshape(20, 20)
    Image.fromarray(grey).save(folder / "deep.png")
    Image.new("CMYK", (30, 20), (0, 255, 255, 0)).save(folder / "cmyk.jpg", quality=95)
    Image.new("RGBA", (30, 20), (9, 8, 7, 0)).save(folder / "alpha.png")
    frames = [Image.new("RGB", (30, 20), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    Image.new("RGB", (1, 1), (50, 60, 70)).save(folder / "one.png")
    Image.new("L", (10_000, 60), 7).save(folder / "long.png")
    Image.new("L", (2000, 3), 7).save(folder / "sliver.png")
    (folder / "text.png").write_text("no picture")


def test_unusual_files_become_pictures_or_a_clear_error(assistant, tmp_path):
    write_pictures(tmp_path)
    deep = pixels_of(tmp_path / "deep.png")
    assert (deep.min(), deep.max()) == (0, 255)
    red = pixels_of(tmp_path / "cmyk.jpg")[10, 10]
    assert red[0] > 200 and red[1] < 60
    assert pixels_of(tmp_path / "alpha.png")[0, 0].tolist() == [9, 8, 7]
    assert pixels_of(tmp_path / "animated.gif")[0, 0].tolist() == [255, 0, 0]  # the first frame
    (one, long) = assistant.segment([tmp_path / "one.png", tmp_path / "long.png"], ["disc", "disc"])
    assert one.mask_HW.shape == (1, 1) and long.mask_HW.shape == (60, 10_000)
    for name, message in (("sliver", "at most 200 : 1, got 2000 x 3"), ("text", "text.png"), ("none", "got no file")):
        with pytest.raises(BadInput, match=message):
            pixels_of(tmp_path / f"{name}.png")
    with pytest.raises(BadInput, match=r"expected uint8 .* got float64 \[4, 4, 3\]"):
        pixels_of(np.zeros((4, 4, 3)))


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:Image size")
def test_ten_thousand_pixels_a_side(assistant, tmp_path):
    Image.new("L", (10_000, 10_000), 7).save(tmp_path / "huge.png")
    (huge,) = assistant.segment([tmp_path / "huge.png"], ["disc"])
    assert huge.mask_HW.shape == (10_000, 10_000)


def test_places_scale_with_the_picture():
    assert to_network_px((0, 0), (128, 64), 64) == (-0.25, 0.0)  # a pixel's centre keeps its place
    logits = mask_as_logits(np.array([[True, False], [True, False]]), 2)
    assert logits.tolist() == [[[8.0, -8.0], [8.0, -8.0]]]

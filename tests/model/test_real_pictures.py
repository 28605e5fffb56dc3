"""Every task on real pictures with random weights: what is said means nothing, but all of it is said."""

from pathlib import Path

import numpy as np
import pytest

from model.assistant import Assistant
from model.marks import Marks
from model.pictures import pixels_of

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
KINDS = {
    "radiograph": "vqa_rad/VQA_RAD Image Folder/*.jpg",
    "skin": "isic2018_task3/ISIC2018_Task3_Training_Input/*.jpg",
    "abdomen": "imed361m/BTCV/image/*.png",
    "dicom": "dicom/pydicom_test_files/CT_small.dcm",
    "dicom, compressed": "dicom/pydicom_test_files/JPEG2000.dcm",
    "nifti": "nifti/anatomical.nii",
}

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real samples are not here")


@pytest.fixture(scope="module")
def assistant(setup):
    return Assistant(setup.network, setup.tokenizer)


@pytest.fixture(scope="module")
def files():
    """One file of every kind, the first by name."""
    return {kind: min(DATA.glob(pattern)) for kind, pattern in KINDS.items()}


def test_questions_reports_classes_and_boxes(assistant, files):
    pictures = list(files.values())
    questions = ["Is there a fracture?", "", "Which organ is shown?", "", "Is this a CT?", "Is it normal?"]
    answers = assistant.generate([*pictures, pictures[:2]], [*questions, "What changed between them?"])
    assert len(answers) == 7
    for answer in answers:
        assert 0 < answer.confidence <= 1 and 0 <= answer.uncertainty <= 1
    for chances in assistant.classify(pictures):
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5) and len(chances) == 3
    assert len(assistant.detect(pictures, ["lesion"] * len(pictures))) == len(pictures)


def test_masks_by_every_prompt_and_a_click_more(assistant, files):
    pictures = {kind: pixels_of(path) for kind, path in files.items()}
    for kind, picture in pictures.items():
        height, width = picture.shape[:2]
        drawn = np.zeros((height, width), dtype=bool)
        drawn[height // 4 : height // 2, width // 4 : width // 2] = True
        click, box = (width / 2, height / 3, True), (0.0, 0.0, width / 2, height / 2)
        marks = [
            Marks(), Marks(clicks=[click]), Marks(box_xyxy_px=box), Marks(mask_HW=drawn),
            Marks(clicks=[click], box_xyxy_px=box, mask_HW=drawn),
        ]  # fmt: skip
        found = assistant.segment([picture] * len(marks), ["lesion", "", "", "", "lesion"], marks)
        for one in found:
            assert one.mask_HW.shape == (height, width), kind
            assert 0 <= one.quality <= 1 and 0 <= one.uncertainty <= 1
        refined = assistant.refine(found[0], x=1, y=1, is_foreground=False)
        assert refined.mask_HW.shape == (height, width)
        assert not np.array_equal(refined.look.masks.logits_Bhw.numpy(), found[0].look.masks.logits_Bhw.numpy())

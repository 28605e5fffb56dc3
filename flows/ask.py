"""One picture from the shell: an answer, a mask where something is marked or named, and files that show them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from evaluation.outputs import PREDICTED_COLOUR, overlay
from ingest.errors import BadInput
from ingest.masks import encode_mask
from ingest.workspace import Workspace, publishing, write_json

if TYPE_CHECKING:
    from model.assistant import Assistant

CLASSES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the shell asks about a picture; marks in its px. target: the structure to segment."""

    image: Path
    question: str = ""
    target: str = ""
    points: tuple[tuple[float, float, bool], ...] = ()
    box: tuple[float, float, float, float] | None = None


def ask(asked: Asked, *, weights: Path, out: Path) -> dict[str, Any]:
    """Answer, and write ``out/results/NAME.json`` and, with a mask, ``out/visualization/NAME.png``.

    Raises: BadInput. Returns what was written to the results.
    """
    from model.assistant import Assistant
    from model.pictures import pixels_of

    pixels_HW3 = pixels_of(asked.image)
    assistant = Assistant.load(weights)
    result = answer(assistant, asked, pixels_HW3)
    if asked.points or asked.box or asked.target:
        result |= segment(assistant, asked, pixels_HW3, picture=out / "visualization" / f"{asked.image.stem}.png")
    write_json(out / "results" / f"{asked.image.stem}.json", result)
    return result


def answer(assistant: "Assistant", asked: Asked, pixels_HW3: np.ndarray) -> dict[str, Any]:
    """The answer in words, and class probabilities where the network has classes."""
    (said,) = assistant.generate([pixels_HW3], [asked.question])
    result: dict[str, Any] = {
        "image": asked.image.name,
        "prompt": asked.question,
        "pred": said.text,
        "confidence": said.confidence,
        "uncertainty": said.uncertainty,
    }
    if assistant.network.config.head and assistant.network.config.classes:
        (chances,) = assistant.classify([pixels_HW3], question=asked.question)
        result |= {"probs": chances, "cls_label": max(chances, key=lambda name: chances[name])}
    return result


def segment(assistant: "Assistant", asked: Asked, pixels_HW3: np.ndarray, *, picture: Path) -> dict[str, Any]:
    """The mask as run lengths with its box, and the picture with the mask over it."""
    from model.marks import Marks

    marks = Marks(clicks=asked.points, box_xyxy_px=asked.box)
    (found,) = assistant.segment([pixels_HW3], [asked.target], [marks])
    panels = [pixels_HW3, overlay(pixels_HW3, found.mask_HW, PREDICTED_COLOUR)]
    with publishing(picture) as staged:
        Image.fromarray(np.concatenate(panels, axis=1)).save(staged, format="PNG")
    return {
        "segmentation": {
            "target": asked.target,
            "points": [list(point) for point in asked.points],
            "box_prompt": asked.box,
            "mask": encode_mask(found.mask_HW),
            "box_xyxy_px": found.box_xyxy_px,
            "area_fraction": float(found.mask_HW.mean()),
            "expected_dice": found.quality,
            "uncertainty": found.uncertainty,
        }
    }


def summary_lines(result: dict[str, Any]) -> list[str]:
    """What the shell shows of a result."""
    lines = [f"answer: {result['pred']!r} (confidence {result['confidence']:.2f})"]
    if "probs" in result:
        likeliest = sorted(result["probs"].items(), key=lambda pair: -pair[1])[:CLASSES_SHOWN]
        lines.append("classes: " + ", ".join(f"{name} {chance:.2f}" for name, chance in likeliest))
    if "segmentation" in result:
        found = result["segmentation"]
        lines.append(
            f"mask: {found['area_fraction']:.1%} of the picture, box {found['box_xyxy_px']}, "
            f"expected Dice {found['expected_dice']:.2f}, uncertainty {found['uncertainty']:.2f}"
        )
    return lines


def weights_of(workspace: Workspace) -> Path:
    """The weights of the workspace's current run. Raises: BadInput when there is none."""
    path = workspace.runs / "current.json"
    if not path.exists():
        raise BadInput(f"{workspace.root}: expected a trained run or --weights, got neither")
    run: str = json.loads(path.read_text())["run"]
    return workspace.runs / run / "checkpoints" / "final"


def point_of(text: str) -> tuple[float, float, bool]:
    """``X,Y`` on the structure, ``X,Y,0`` off it. Raises: BadInput."""
    numbers = numbers_in(text, "--point", "X,Y or X,Y,0", (2, 3))
    return numbers[0], numbers[1], len(numbers) == 2 or numbers[2] != 0


def box_of(text: str) -> tuple[float, float, float, float]:
    """``X0,Y0,X1,Y1``. Raises: BadInput."""
    x0, y0, x1, y1 = numbers_in(text, "--box", "X0,Y0,X1,Y1", (4,))
    return x0, y0, x1, y1


def numbers_in(text: str, option: str, form: str, lengths: tuple[int, ...]) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in lengths:
        raise BadInput(f"{option}: expected {form} in px, got {text!r}")
    return numbers

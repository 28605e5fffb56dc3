"""A box as text, so that the language branch can say and learn where something is. No torch.

``[x0, y0, x1, y1]`` in thousandths of the picture's width and height: it holds at any size.
"""

import re

Box = tuple[float, float, float, float]

SCALE = 1000
_NUMBERS = re.compile(r"\[\s*(\d{1,4})\s*,\s*(\d{1,4})\s*,\s*(\d{1,4})\s*,\s*(\d{1,4})\s*\]")


def box_text(box_xyxy_px: Box, *, width_px: int, height_px: int) -> str:
    """The box as text; [250, 0, 500, 1000] is the second quarter of the picture from the left."""
    sides = (width_px, height_px, width_px, height_px)
    numbers = [min(max(round(SCALE * value / side), 0), SCALE) for value, side in zip(box_xyxy_px, sides, strict=True)]
    return f"[{', '.join(map(str, numbers))}]"


def boxes_in(text: str, *, width_px: int, height_px: int) -> list[Box]:
    """The boxes a text names, in px; one without area or outside the picture is no box."""
    sides = (width_px, height_px, width_px, height_px)
    boxes = []
    for numbers in _NUMBERS.findall(text):
        x0, y0, x1, y1 = (int(number) for number in numbers)
        if x0 < x1 <= SCALE and y0 < y1 <= SCALE:
            box = tuple(number * side / SCALE for number, side in zip((x0, y0, x1, y1), sides, strict=True))
            boxes.append((box[0], box[1], box[2], box[3]))
    return boxes

"""The page beside saved weights: what they are, what they were made from, and what they must not be used for."""

import json

from model.network import BiasCareVL

NUM_CLASSES_SHOWN = 30

_CARD = """\
# BiasCareVL

{origin}

| | |
|---|---|
| parameters | {num_parameters:,} |
| number format | {dtypes} |
| language branch | Qwen2.5-VL, {num_layers} layers, hidden size {hidden_size} |
| segmentation branch | {side} x {side} px, {depth} blocks of width {encoder_width}, embeddings of width {width} |
| classification head | {head} |
| padding | {padding} |

## Classes

{classes}

## Use

```python
from pathlib import Path
from model.assistant import Assistant

assistant = Assistant.load(Path("this folder"))
print(assistant.generate([image], ["Is there a fracture?"]))
```

For research. It is no medical device: no output of it has been shown to be safe for a decision about a patient, and
its errors differ between groups of patients. Score it group by group on your own data before anybody relies on it
(`biascarevl evaluate`, `biascarevl score`).
"""


def model_card(network: BiasCareVL, *, origin: str) -> str:
    """The card as Markdown. origin: where the weights come from, one sentence."""
    config = network.config
    text = config.language["text_config"]
    sizes = config.segmentation
    dtypes = sorted({str(p.dtype).removeprefix("torch.") for p in network.parameters()})
    spaces = [
        f"- {space or 'unnamed'} ({'several may hold' if space in config.multi_label_spaces else 'one holds'}): "
        f"{json.dumps(list(names[:NUM_CLASSES_SHOWN]), ensure_ascii=False)}"
        f"{f' and {len(names) - NUM_CLASSES_SHOWN} more' if len(names) > NUM_CLASSES_SHOWN else ''}"
        for space, names in config.label_spaces.items()
    ]
    return _CARD.format(
        origin=origin, num_parameters=sum(p.numel() for p in network.parameters()), dtypes=", ".join(dtypes),
        num_layers=text["num_hidden_layers"], hidden_size=text["hidden_size"], side=sizes.image_side_px,
        depth=sizes.encoder_depth, encoder_width=sizes.encoder_width, width=sizes.width, head=config.head or "none",
        padding=config.padding, classes="\n".join(spaces) or "none",
    )  # fmt: skip

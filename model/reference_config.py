"""The published system's configuration, in the form its recorded numbers use, as ours.

Keys: ``seg`` (sizes of the segmentation branch), ``vl`` (a Qwen2.5-VL configuration, flat as transformers 4.51 wrote
it or nested), ``cls_num`` (classes), ``special_token_ids`` (of it ``cls``), and of our own ``head`` (one of
model.heads.HEADS), ``classes`` (names), ``multi_label`` and ``padding``.
"""

import json
from collections.abc import Mapping
from typing import Any

from transformers import Qwen2_5_VLConfig

from ingest.errors import BadInput
from model.presets import PRESETS
from model.sizes import NetworkConfig, SegmentationSizes

SIZE_NAMES: Mapping[str, str] = {
    "image_size": "image_side_px",
    "pretrain_image_size": "pretrain_side_px",
    "embed_dim": "encoder_width",
    "depth": "encoder_depth",
    "num_heads": "encoder_heads",
    "mlp_ratio": "encoder_mlp_ratio",
    "window_size": "window_side",
    "global_attn_indexes": "global_blocks",
    "decoder_depth": "decoder_depth",
    "decoder_num_heads": "decoder_heads",
    "decoder_mlp_dim": "decoder_mlp_width",
    "iou_head_depth": "quality_depth",
    "iou_head_hidden_dim": "quality_width",
    "semantic_out_dim": "num_semantic",
    "mask_in_chans": "mask_channels",
}
NUM_MULTIMASK_OUTPUTS = 3
PUBLISHED = PRESETS["biascarevl-7b"]


def reference_config(plain: Mapping[str, Any]) -> NetworkConfig:
    """Our configuration of a released checkpoint. Without ``seg`` the published ViT-B shape is taken.

    Raises: BadInput for an unknown key of ``seg``, or a missing ``vl``.
    """
    if "vl" not in plain:
        raise BadInput(f"reference configuration: expected a key vl (Qwen2.5-VL), got {sorted(plain)}")
    head = str(plain.get("head", ""))
    num_classes = int(plain.get("cls_num", 0)) if head else 0
    classes = tuple(plain.get("classes", ())) or tuple(f"class_{number}" for number in range(num_classes))
    multi_label = bool(plain.get("multi_label", True))
    return NetworkConfig(
        segmentation=segmentation_sizes(plain["seg"]) if "seg" in plain else PUBLISHED.segmentation,
        language=language_settings(plain["vl"]),
        min_pixels=int(plain.get("min_pixels", PUBLISHED.min_pixels)),
        classes=classes if head else (),
        class_weights=(1.0,) * (len(classes) if head else 0),
        prevalence=(0.5,) * (len(classes) if head else 0),
        label_spaces={"reference": classes} if head else {},
        multi_label_spaces=("reference",) if head and multi_label else (),
        head=head,
        class_token_id=int(plain.get("special_token_ids", {}).get("cls", -1)),
        padding=str(plain.get("padding", "reference")),
    )


def segmentation_sizes(seg: Mapping[str, Any]) -> SegmentationSizes:
    """The ``seg`` table; ``embed_dim`` is both the encoder's width and E (the reference's neck keeps it)."""
    unknown = sorted(set(seg) - set(SIZE_NAMES) - {"num_multimask_outputs", "out_chans"})
    if unknown:
        raise BadInput(f"reference configuration: seg: expected keys of {', '.join(SIZE_NAMES)}, got {unknown[0]}")
    if seg.get("num_multimask_outputs", NUM_MULTIMASK_OUTPUTS) != NUM_MULTIMASK_OUTPUTS:
        raise BadInput(
            f"reference configuration: seg.num_multimask_outputs: expected {NUM_MULTIMASK_OUTPUTS}, "
            f"got {seg['num_multimask_outputs']}"
        )
    missing = sorted(old for old in SIZE_NAMES if old not in seg)
    if missing:
        raise BadInput(f"reference configuration: seg: expected a key {missing[0]}, got none")
    sizes = {ours: seg[old] for old, ours in SIZE_NAMES.items()}
    sizes["global_blocks"] = tuple(sizes["global_blocks"])
    return SegmentationSizes(**sizes, width=seg.get("out_chans", seg["embed_dim"]))


def language_settings(vl: Mapping[str, Any]) -> dict[str, Any]:
    """A Qwen2.5-VL configuration of any transformers version as the installed one writes it."""
    settings: dict[str, Any] = json.loads(json.dumps(Qwen2_5_VLConfig.from_dict(dict(vl)).to_dict()))
    return settings

"""Names of tensors in released checkpoints, and where each goes in our network: literal tables, loaded strictly.

A row maps a name, or everything below it, to ours; the longest row that fits a tensor counts. ``None`` drops a tensor
on purpose, for the reason in ``WHY_DROPPED``. A tensor no row fits is an error, like one that is missing.
"""

from collections.abc import Mapping

Names = Mapping[str, str | None]

IMIS_NAMES: Names = {
    "image_encoder.sam_encoder.pos_embed": "image_encoder.sam_encoder.pos_embed",
    "image_encoder.sam_encoder.patch_embed": "image_encoder.sam_encoder.patch_embed",
    "image_encoder.sam_encoder.blocks": "image_encoder.sam_encoder.blocks",
    "image_encoder.sam_encoder.neck": None,
    "image_encoder.neck": "image_encoder.neck",
    "prompt_encoder": "prompt_encoder",
    "mask_decoder": "mask_decoder",
    "text_out_dim": None,
    "text_model": None,
    "pixel_mean": None,
    "pixel_std": None,
}
"""IMIS-Net (Cheng et al. 2024), whose segmentation branch the reference took over."""

SAM_NAMES: Names = {
    "image_encoder.pos_embed": "image_encoder.sam_encoder.pos_embed",
    "image_encoder.patch_embed": "image_encoder.sam_encoder.patch_embed",
    "image_encoder.blocks.*.norm1": "image_encoder.sam_encoder.blocks.*.norm1",
    "image_encoder.blocks.*.norm2": "image_encoder.sam_encoder.blocks.*.norm2",
    "image_encoder.blocks.*.attn": "image_encoder.sam_encoder.blocks.*.attn",
    "image_encoder.blocks.*.mlp.lin1": "image_encoder.sam_encoder.blocks.*.mlp.fc1",
    "image_encoder.blocks.*.mlp.lin2": "image_encoder.sam_encoder.blocks.*.mlp.fc2",
    "image_encoder.neck": "image_encoder.neck",
    "prompt_encoder": "prompt_encoder",
    "mask_decoder": "mask_decoder",
    "pixel_mean": None,
    "pixel_std": None,
}
"""Segment Anything (Kirillov et al. 2023) as published, ``sam_vit_b_01ec64.pth``."""

SAM_TRUNK_NAMES: Names = {
    **{old: new for old, new in SAM_NAMES.items() if new is None or "sam_encoder" in new},
    "image_encoder.neck": None,
    "prompt_encoder": None,
    "mask_decoder": None,
}
"""The same file for a segmentation branch that is wider than SAM's 256 channels: its transformer alone fits."""

REFERENCE_NAMES: Names = {
    "VL.model": "language_model.model.language_model",
    "VL.visual": "language_model.model.visual",
    "VL.lm_head": "language_model.lm_head",
    **{f"SEG.{old}": new for old, new in IMIS_NAMES.items()},
    "add11": "text_prompt.query",
    "add12": "text_prompt.attention",
    "text_fc": "text_prompt.projection",
    "cls_head_cross_attn": "head.cross_attn",
    "cls_head_cross_attn1": "head.cross_attn1",
    "cls_head_cross_attn2": "head.cross_attn2",
    "cls_head_cross_attn3": "head.cross_attn3",
    "cls_head_cross_attn4": "head.cross_attn4",
    "cls_head_ln": "head.ln",
    "cls_head_ln1": "head.ln1",
    "cls_head_ln2": "head.ln2",
    "cls_head_ln3": "head.ln3",
    "cls_head_ln4": "head.ln4",
    "cls_head_pro": "head.pro",
    "cls_head_pro_token": "head.pro_token",
    "cls_head_final": "head.final",
}
"""The published BiasCareVL, ``pytorch_model.bin`` (REFERENCE section 1)."""

WHY_DROPPED: Mapping[str, str] = {
    "image_encoder.sam_encoder.neck": "timm's own 256-channel neck; the network uses the one beside it",
    "text_out_dim": "projects a CLIP text model that the reference replaced by the language model",
    "text_model": "IMIS-Net's CLIP text model; prompts come from the language model here",
    "pixel_mean": "a constant, stated in model.encode",
    "pixel_std": "a constant, stated in model.encode",
    "image_encoder.neck": "256 channels wide; the segmentation branch is wider",
    "prompt_encoder": "256 channels wide; the segmentation branch is wider",
    "mask_decoder": "256 channels wide; the segmentation branch is wider",
}


def new_name(name: str, names: Names) -> str | None:
    """Our name of a tensor, None where it is dropped on purpose. Raises: KeyError for a name no row fits."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        for number in (None, *range(length)):
            old = parts[:length]
            if number is not None:
                if not old[number].isdigit():
                    continue
                old = [*old[:number], "*", *old[number + 1 :]]
            if ".".join(old) in names:
                new = names[".".join(old)]
                if new is None:
                    return None
                head = new.replace("*", parts[number]) if number is not None else new
                return ".".join([head, *parts[length:]])
    raise KeyError(name)

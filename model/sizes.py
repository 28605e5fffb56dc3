"""What a network is made of, as plain numbers: stored beside its weights. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PATCH_PX = 16
NUM_MASKS = 4
HEAD_NAMES: tuple[str, ...] = (
    "vlmcross", "vlmcrosscombine", "vlmcrossdualcrossplustext", "vlmcrossdualcross", "vlmdualcrossdualcross",
    "vlmtokendualcrossdualcross1", "vlmtokendualcrossdualcross2", "twovisiondualcross", "twovisiondualcrosstoken",
)  # fmt: skip
"""Keys of ``model.heads.HEADS``, which needs torch."""
PADDINGS: tuple[str, ...] = ("masked", "reference")


def expect(holds: bool, key: str, expected: str, got: object) -> None:
    """Raise a ValueError naming the key unless ``holds``."""
    if not holds:
        raise ValueError(f"{key}: expected {expected}, got {got!r}")


@dataclass(frozen=True, kw_only=True)
class SegmentationSizes:
    """The segmentation branch: SAM's image encoder, prompt encoder and mask decoder.

    ``pretrain_side_px`` is the image side the position embeddings were stored for; they are resampled to
    ``image_side_px``. ``global_blocks`` are the encoder blocks without windows.
    """

    image_side_px: int
    pretrain_side_px: int
    encoder_width: int
    encoder_depth: int
    encoder_heads: int
    encoder_mlp_ratio: float
    window_side: int
    global_blocks: tuple[int, ...]
    width: int
    decoder_depth: int
    decoder_heads: int
    decoder_mlp_width: int
    quality_depth: int
    quality_width: int
    num_semantic: int
    mask_channels: int = 16

    def __post_init__(self) -> None:
        expect(
            self.image_side_px % PATCH_PX == 0,
            "image_side_px",
            f"a multiple of {PATCH_PX}",
            self.image_side_px,
        )
        multiple = 2 * self.decoder_heads
        expect(self.width % multiple == 0, "width", f"a multiple of 2 x decoder_heads = {multiple}", self.width)

    @property
    def grid_side(self) -> int:
        """G: image embeddings per side."""
        return self.image_side_px // PATCH_PX


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Everything needed to build a network: stored beside its weights.

    language: a Qwen2_5_VLConfig as a plain mapping. classes: the run's classes in the order of the head's outputs,
    class_weights: what a training sample of each counts, prevalence: the share of training draws that hold each.
    label_spaces: which classes stand together, by label space; multi_label_spaces: those in which a sample may hold
    any number of them (else exactly one).
    min_pixels: smallest picture of the language branch. head: a name of ``model.heads.HEADS``, "" for none.
    class_token_id: the token some heads read, -1 where there is none.
    padding: "masked" keeps padding out of every mean; "reference" takes it in as the published system did, which
    also needs its eager attention (REFERENCE section 6).
    """

    segmentation: SegmentationSizes
    language: Mapping[str, Any]
    min_pixels: int
    classes: tuple[str, ...]
    class_weights: tuple[float, ...]
    label_spaces: Mapping[str, tuple[str, ...]]
    multi_label_spaces: tuple[str, ...] = ()
    prevalence: tuple[float, ...] = ()
    head: str = "vlmcrossdualcross"
    class_token_id: int = -1
    padding: str = "masked"

    def __post_init__(self) -> None:
        expect(self.head in ("", *HEAD_NAMES), "head", f"one of {list(HEAD_NAMES)}", self.head)
        expect(self.padding in PADDINGS, "padding", f"one of {list(PADDINGS)}", self.padding)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named size, and the values of the published recipe at that size.

    text, vision: keyword arguments of Qwen2.5-VL's text and vision configurations; a ``vocab_size`` is a least size,
    the tokenizer's own counts where it is larger.
    threads: per process on a CPU, 0 for its share of the cores.
    """

    segmentation: SegmentationSizes
    text: Mapping[str, Any]
    vision: Mapping[str, Any]
    vocabulary_size: int
    min_pixels: int
    learning_rate: float
    warmup_steps: int
    threads: int = 0

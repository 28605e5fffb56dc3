"""Sizes of the model and settings of its training: the [model] and [training] tables of the configuration. No torch.

Shape legend of the whole package, written behind tensor names (``images_B3SS``, ``hidden_BLD``):

====  ==========================================================================
B     samples in a batch
L     tokens of the longest text in a batch, image tokens included (left padding)
D     hidden size of the language model
E     width of the segmentation branch and of the classification head
S     side of a segmentation image in px
G     side of the grid of image embeddings, S / 16
P     sparse prompt tokens (a point, two box corners, a text)
K     masks decoded per prompt (4; the first is the output)
C     classes of the run
h, w  height and width of anything else
====  ==========================================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

PATCH_PX = 16
NUM_MASKS = 4


def _expect(holds: bool, key: str, expected: str, got: object) -> None:
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
        _expect(
            self.image_side_px % PATCH_PX == 0,
            "image_side_px",
            f"a multiple of {PATCH_PX}",
            self.image_side_px,
        )
        multiple = 2 * self.decoder_heads
        _expect(self.width % multiple == 0, "width", f"a multiple of 2 x decoder_heads = {multiple}", self.width)

    @property
    def grid_side(self) -> int:
        """G: image embeddings per side."""
        return self.image_side_px // PATCH_PX


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Everything needed to build a network: stored beside its weights.

    language: a Qwen2_5_VLConfig as a plain mapping. classes: the run's classes in the order of the head's outputs,
    class_weights: what a training sample of each counts. label_spaces: which classes compete, by label space.
    min_pixels: smallest picture of the language branch.
    """

    segmentation: SegmentationSizes
    language: Mapping[str, Any]
    min_pixels: int
    classes: tuple[str, ...]
    class_weights: tuple[float, ...]
    label_spaces: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named size, and the values of the published recipe at that size.

    text, vision: keyword arguments of Qwen2.5-VL's text and vision configurations, vocabulary excepted.
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


TINY = Preset(
    segmentation=SegmentationSizes(
        image_side_px=128, pretrain_side_px=128, encoder_width=96, encoder_depth=4, encoder_heads=4,
        encoder_mlp_ratio=2.0, window_side=4, global_blocks=(1, 3), width=96, decoder_depth=2, decoder_heads=8,
        decoder_mlp_width=192, quality_depth=3, quality_width=64, num_semantic=64,
    ),
    text={
        "hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 2048, "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 4, 4]},
    },
    vision={
        "depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "patch_size": 14,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112, "out_hidden_size": 96,
        "fullatt_block_indexes": [1],
    },
    vocabulary_size=1024,
    min_pixels=112 * 112,
    learning_rate=1e-3,
    warmup_steps=20,
    threads=1,  # measured: at these sizes a second thread is 2 to 10 times slower on a busy machine
)  # fmt: skip

PRESETS: dict[str, Preset] = {"tiny": TINY}
"""``tiny`` trains on two processor cores in a minute; its rate and warm-up are scaled from the published ones
(1e-5 and 500 steps, for a pretrained model of 7 billion parameters)."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The [model] table: which size to build. The folders of released weights are not read yet."""

    preset: str = "tiny"
    weights: str = ""
    language: str = ""
    segmentation: str = ""

    def __post_init__(self) -> None:
        _expect(self.preset in PRESETS, "model.preset", f"one of {sorted(PRESETS)}", self.preset)
        for key in ("weights", "language", "segmentation"):
            value = getattr(self, key)
            _expect(value == "", f"model.{key}", '"": released weights cannot be loaded yet', value)

    @property
    def sizes(self) -> Preset:
        return PRESETS[self.preset]


RECIPES: tuple[str, ...] = ("published",)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The [training] table; defaults are the published recipe (REFERENCE section 4).

    steps: stop after that many optimiser steps, 0 for all epochs. draws_per_epoch: 0 for the number of training
    rows. learning_rate, warmup_steps: None for the preset's. One step takes micro_batch x accumulate x
    num_processes draws.
    """

    recipe: str = "published"
    epochs: int = 2
    draws_per_epoch: int = 0
    steps: int = 0
    micro_batch: int = 4
    accumulate: int = 2
    zero_stage: int = 2
    num_processes: int = 1
    learning_rate: float | None = None
    warmup_steps: int | None = None
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    gradient_clip: float = 1.0

    def __post_init__(self) -> None:
        _expect(self.recipe in RECIPES, "training.recipe", f"one of {list(RECIPES)}", self.recipe)
        for key in ("epochs", "micro_batch", "accumulate", "num_processes"):
            _expect(getattr(self, key) >= 1, f"training.{key}", "at least 1", getattr(self, key))
        for key in ("draws_per_epoch", "steps", "weight_decay", "gradient_clip"):
            _expect(getattr(self, key) >= 0, f"training.{key}", "at least 0", getattr(self, key))
        _expect(self.zero_stage in (0, 1, 2), "training.zero_stage", "0, 1 or 2", self.zero_stage)
        rate = self.learning_rate
        _expect(rate is None or rate > 0, "training.learning_rate", "above 0", rate)
        warmup = self.warmup_steps
        _expect(warmup is None or warmup >= 0, "training.warmup_steps", "at least 0", warmup)
        inside = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        _expect(inside, "training.betas", "two numbers in [0, 1)", self.betas)

    def resolved(self, model: ModelConfig) -> "TrainingConfig":
        """The same settings with what the preset decides filled in."""
        sizes = model.sizes
        rate = sizes.learning_rate if self.learning_rate is None else self.learning_rate
        warmup = sizes.warmup_steps if self.warmup_steps is None else self.warmup_steps
        return replace(self, learning_rate=rate, warmup_steps=warmup)

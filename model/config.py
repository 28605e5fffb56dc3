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

from dataclasses import dataclass, replace

from model.presets import PRESETS
from model.sizes import HEAD_NAMES, Preset, expect


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The [model] table: which size to build, and from which released weights (``model.starting_point``).

    Paths are relative to the configuration file.
    """

    preset: str = "tiny"
    head: str = "vlmcrossdualcross"
    weights: str = ""
    language: str = ""
    segmentation: str = ""

    def __post_init__(self) -> None:
        expect(self.preset in PRESETS, "model.preset", f"one of {sorted(PRESETS)}", self.preset)
        expect(self.head in HEAD_NAMES, "model.head", f"one of {list(HEAD_NAMES)}", self.head)
        both = not (self.weights and (self.language or self.segmentation))
        expect(both, "model.weights", "no language or segmentation beside it", self.weights)

    @property
    def sizes(self) -> Preset:
        return PRESETS[self.preset]


RECIPES: tuple[str, ...] = ("published",)
BIAS_CONTROLS: tuple[str, ...] = ("off", "reference", "corrected")
MULTI_LABEL_LOSS_NAMES: tuple[str, ...] = (
    "bce", "focal", "focalonly", "focalonlygamma4",
    "bce_log2", "bce_log1p", "bce_logmean", "bce_sqrt", "bce_clip", "asl",
)  # fmt: skip
"""Keys of ``model.class_losses.MULTI_LABEL_LOSSES``, which needs torch."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The [training] table; defaults are the published recipe (REFERENCE section 4).

    steps: stop after that many optimiser steps, 0 for all epochs. draws_per_epoch: 0 for the number of training
    rows. learning_rate, warmup_steps: None for the preset's. language_learning_rate: of the language model with its
    vision tower, None for the rest's (published: 5e-6 beside 1e-5). One step takes micro_batch x accumulate x
    num_processes draws. uncertainty, tail_loop: how hard samples are treated, "off", as published ("reference") or
    "corrected" (``model.uncertainty``, ``model.tail_loop``); uncertainty_strength, uncertainty_beta: lambda and beta of
    METHODS section 3; tail_rounds: clicks per second look, corrected only. multi_label_loss: where several classes
    may hold. lora: train low-rank changes of the language model's projections (``model.adapter``).
    gradient_checkpointing: compute activations twice instead of keeping them.
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
    language_learning_rate: float | None = None
    warmup_steps: int | None = None
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    gradient_clip: float = 1.0
    uncertainty: str = "off"
    uncertainty_strength: float = 1.0
    uncertainty_beta: float = 0.5
    tail_loop: str = "off"
    tail_rounds: int = 1
    multi_label_loss: str = "bce"
    lora: bool = False
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        expect(self.recipe in RECIPES, "training.recipe", f"one of {list(RECIPES)}", self.recipe)
        for key in ("epochs", "micro_batch", "accumulate", "num_processes"):
            expect(getattr(self, key) >= 1, f"training.{key}", "at least 1", getattr(self, key))
        for key in ("draws_per_epoch", "steps", "weight_decay", "gradient_clip"):
            expect(getattr(self, key) >= 0, f"training.{key}", "at least 0", getattr(self, key))
        expect(self.zero_stage in (0, 1, 2), "training.zero_stage", "0, 1 or 2", self.zero_stage)
        for key in ("learning_rate", "language_learning_rate"):
            rate = getattr(self, key)
            expect(rate is None or rate > 0, f"training.{key}", "above 0", rate)
        warmup = self.warmup_steps
        expect(warmup is None or warmup >= 0, "training.warmup_steps", "at least 0", warmup)
        for key in ("uncertainty", "tail_loop"):
            expect(
                getattr(self, key) in BIAS_CONTROLS,
                f"training.{key}",
                f"one of {list(BIAS_CONTROLS)}",
                getattr(self, key),
            )
        expect(self.uncertainty_strength >= 0, "training.uncertainty_strength", "at least 0", self.uncertainty_strength)
        expect(self.uncertainty_beta >= 0, "training.uncertainty_beta", "at least 0", self.uncertainty_beta)
        expect(self.tail_rounds >= 1, "training.tail_rounds", "at least 1", self.tail_rounds)
        kinds = list(MULTI_LABEL_LOSS_NAMES)
        expect(self.multi_label_loss in kinds, "training.multi_label_loss", f"one of {kinds}", self.multi_label_loss)
        inside = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        expect(inside, "training.betas", "two numbers in [0, 1)", self.betas)

    def resolved(self, model: ModelConfig) -> "TrainingConfig":
        """The same settings with what the preset decides filled in."""
        sizes = model.sizes
        rate = sizes.learning_rate if self.learning_rate is None else self.learning_rate
        warmup = sizes.warmup_steps if self.warmup_steps is None else self.warmup_steps
        language_rate = rate if self.language_learning_rate is None else self.language_learning_rate
        return replace(self, learning_rate=rate, language_learning_rate=language_rate, warmup_steps=warmup)

"""The [model] and [training] tables say what is wrong, where, and what was expected."""

import subprocess
import sys

import pytest

from model.config import ModelConfig, TrainingConfig
from model.presets import PRESETS


@pytest.mark.parametrize(
    ("table", "settings", "message"),
    [
        (ModelConfig, {"preset": "huge"}, "model.preset: expected one of .*tiny.*, got 'huge'"),
        (ModelConfig, {"weights": "a", "language": "b"}, "model.weights: expected no language .* got 'a'"),
        (ModelConfig, {"head": "mine"}, "model.head: expected one of .*vlmcross.*, got 'mine'"),
        (TrainingConfig, {"micro_batch": 0}, "training.micro_batch: expected at least 1, got 0"),
        (TrainingConfig, {"zero_stage": 7}, "training.zero_stage: expected 0, 1 or 2, got 7"),
        (TrainingConfig, {"learning_rate": 0.0}, "training.learning_rate: expected above 0, got 0.0"),
        (TrainingConfig, {"language_learning_rate": -1e-6}, "training.language_learning_rate: expected above 0"),
        (TrainingConfig, {"betas": (0.9, 1.0)}, "training.betas"),
        (TrainingConfig, {"recipe": "mine"}, "training.recipe"),
        (TrainingConfig, {"uncertainty": "on"}, "training.uncertainty: expected one of .*corrected.*, got 'on'"),
        (TrainingConfig, {"tail_rounds": 0}, "training.tail_rounds: expected at least 1, got 0"),
        (TrainingConfig, {"multi_label_loss": "hinge"}, "training.multi_label_loss"),
    ],
)
def test_a_wrong_value_is_named(table, settings, message):
    with pytest.raises(ValueError, match=message):
        table(**settings)


def test_the_preset_fills_in_what_is_not_set():
    resolved = TrainingConfig(warmup_steps=0).resolved(ModelConfig())
    assert resolved.learning_rate == ModelConfig().sizes.learning_rate
    assert resolved.warmup_steps == 0 and resolved.language_learning_rate == resolved.learning_rate
    assert TrainingConfig(language_learning_rate=5e-6).resolved(ModelConfig()).language_learning_rate == 5e-6


@pytest.mark.parametrize(("preset", "low", "high"), [("small", 9e7, 1.1e8), ("biascarevl-7b", 8.2e9, 8.6e9)])
def test_presets_have_their_sizes(preset, low, high):
    from model.checkpoint import empty_network
    from model.starting_point import preset_config
    from model.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(["a"], vocabulary_size=300)
    network = empty_network(preset_config(PRESETS[preset], tokenizer))
    assert low < sum(parameter.numel() for parameter in network.parameters()) < high


def test_configuration_and_prediction_table_need_no_torch():
    code = "import sys, model.config, model.prediction, model.train; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

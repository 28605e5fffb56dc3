"""What every test shares: quiet libraries, and one small simulated corpus refreshed once per session."""

import copy
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["GX_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"

import hypothesis
import pytest

hypothesis.settings.register_profile("any machine", deadline=None)  # no test asserts wall time
hypothesis.settings.load_profile("any machine")

CONFIG = """\
workspace = "work"
seed = 7

[[datasets]]
adapter = "imed361m"
root = "raw/imed361m"

[[datasets]]
adapter = "vqa_rad"
root = "raw/vqa_rad"

[[datasets]]
adapter = "isic2018"
root = "raw/isic2018"
metadata = "raw/ham10000/HAM10000_metadata.csv"

[census]
attributes = ["modality", "sex", "age_band", "label"]

[weights.targets]
modality = { toward = "uniform", strength = 0.3 }
sex = { toward = { female = 0.5, male = 0.5 } }

[shards]
image_side_px = 64
samples_per_shard = 40

[training]
steps = 3
micro_batch = 2
accumulate = 1

[evaluation]
attributes = ["sex", "modality"]
num_resamples = 200
"""


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Path:
    """A folder with raw/ (400 simulated samples, every defect planted) and demo.toml. Read only."""
    from ingest.simulate import simulate

    folder = tmp_path_factory.mktemp("corpus")
    simulate(folder / "raw", num_samples=400, seed=11)
    (folder / "demo.toml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="session")
def refreshed(simulated):
    """The checked configuration of ``simulated`` after a refresh. Read only."""
    from flows.config import load_config
    from flows.runner import PIPELINES, run_pipeline

    config = load_config(simulated / "demo.toml")
    run_pipeline(config, PIPELINES["refresh"])
    return config


@pytest.fixture
def corpus_copy(refreshed, tmp_path) -> Path:
    """A private copy of the refreshed corpus: raw/, demo.toml and work/, times kept so that nothing is stale."""
    shutil.copytree(refreshed.source.parent, tmp_path / "corpus", copy_function=shutil.copy2)
    return tmp_path / "corpus"


REFERENCE_PLAIN: dict[str, Any] = {
    "seg": {
        "embed_dim": 32, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0, "window_size": 3, "global_attn_indexes": [1],
        "pretrain_image_size": 128, "image_size": 64, "decoder_depth": 2, "decoder_mlp_dim": 48,
        "decoder_num_heads": 4, "iou_head_depth": 3, "iou_head_hidden_dim": 24, "num_multimask_outputs": 3,
        "semantic_out_dim": 16, "mask_in_chans": 16,
    },
    "vl": {
        "model_type": "qwen2_5_vl", "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 256,
        "rope_theta": 1e6, "rope_scaling": {"type": "default", "rope_type": "default", "mrope_section": [2, 3, 3]},
        "image_token_id": 290, "video_token_id": 291, "vision_start_token_id": 292, "vision_end_token_id": 293,
        "pad_token_id": 0, "eos_token_id": 2,
        "vision_config": {
            "model_type": "qwen2_5_vl", "depth": 1, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2,
            "window_size": 56, "fullatt_block_indexes": [0], "out_hidden_size": 32,
        },
    },
    "cls_num": 3,
    "special_token_ids": {"cls": 294},
}  # fmt: skip


@pytest.fixture
def reference_plain() -> dict[str, Any]:
    """A configuration of the published system at the size of a toy."""
    return copy.deepcopy(REFERENCE_PLAIN)


@pytest.fixture
def released() -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Gives a network with random weights and the tensors the published system would have left of it."""
    import torch

    from model.network import BiasCareVL
    from model.reference_config import reference_config
    from model.reference_names import REFERENCE_NAMES

    def build(head: str = "") -> tuple[Any, dict[str, Any]]:
        torch.manual_seed(0)
        network = BiasCareVL(reference_config({**REFERENCE_PLAIN, "head": head}))
        old_names = {new: old for old, new in REFERENCE_NAMES.items() if new}
        dropped = ("SEG.text_out_dim.weight", "SEG.image_encoder.sam_encoder.neck.0.weight")
        tensors = {name: torch.zeros(1) for name in dropped}
        for name, tensor in network.state_dict().items():
            row = max((new for new in old_names if name == new or name.startswith(f"{new}.")), key=len)
            tensors[old_names[row] + name.removeprefix(row)] = tensor
        return network.eval(), tensors

    return build

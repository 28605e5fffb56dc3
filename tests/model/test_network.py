"""The network on a handful of samples: shapes, learning, padding, and a round trip through a folder."""

import dataclasses

import numpy as np
import pytest
import torch

from ingest.errors import BadInput
from model.checkpoint import from_pretrained, save_pretrained
from model.config import TrainingConfig
from model.network import build_network
from model.objective import Objective
from model.prompts import PROMPT_SETS
from model.vision_encoder import RelativeAttention, split_windows


def training_batch(setup, records):
    return setup.collate.batch([setup.encoder.encode_for_training(r, np.random.default_rng(3)) for r in records])


def prediction_batches(setup, records):
    inputs = [setup.encoder.encode_for_prediction(record, np.random.default_rng(0)) for record in records]
    return setup.collate.batches_by_task(inputs)


def test_outputs_have_their_shapes(make_records, setup):
    batches = prediction_batches(setup, make_records(6))
    masks = setup.network.segment(batches["segmentation"])
    assert masks.logits_Bhw.shape == (4, 32, 32) and masks.quality_B.shape == (4,)  # two records, two targets
    probabilities = setup.network.classify(batches["classification"])
    assert probabilities.shape == (2, 3) and probabilities.sum(1).tolist() == pytest.approx([1, 1])
    answers = setup.network.answer(batches["vqa"], max_new_tokens=4)
    assert answers.token_ids.shape[0] == 2 and answers.token_ids.shape[1] <= 4
    assert ((answers.entropy_B >= 0) & (answers.entropy_B <= 1 + 1e-6)).all()


def test_every_prompt_set_gives_a_loss_and_every_parameter_a_gradient(make_records, setup):
    batch = training_batch(setup, make_records(3))
    objective = Objective(setup.network, TrainingConfig())
    for prompt in PROMPT_SETS:
        losses = objective(dataclasses.replace(batch, prompt=prompt))
        assert {"text", "classification", "segmentation", "quality", "total"} == set(losses)
    losses["total"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in setup.network.parameters())
    setup.network.zero_grad(set_to_none=True)


def test_loss_falls_on_eight_samples(make_records, setup):
    network = build_network(setup.network.config, seed=1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    batch = training_batch(setup, make_records(8))
    totals = []
    for _ in range(12):
        losses = Objective(network, TrainingConfig())(batch)
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
        totals.append(losses["total"].item())
    assert totals[-1] < 0.6 * totals[0]


def test_activations_computed_twice_and_bfloat16_and_a_compiled_network_give_the_same(make_records, setup):
    network = build_network(setup.network.config, seed=1)
    batch = training_batch(setup, make_records(3))
    gradients = []
    for _ in range(2):
        objective = Objective(network.train(), TrainingConfig())
        objective(batch)["total"].backward()
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters()})
        network.zero_grad(set_to_none=True)
        network.checkpoint_activations()
    assert all(torch.allclose(gradients[0][name], gradients[1][name], atol=1e-6) for name in gradients[0])
    (asked,) = prediction_batches(setup, make_records(1)).values()
    expected = network.eval().segment(asked).logits_Bhw
    compiled = torch.compile(network.image_encoder, backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(asked.images_B3SS), network.image_encoder(asked.images_B3SS), atol=1e-5)
    half = build_network(setup.network.config, seed=1).eval().bfloat16()
    assert torch.allclose(half.segment(asked).logits_Bhw.float(), expected, atol=0.1)


def test_padding_changes_nothing(make_records, setup):
    """A neighbour with a longer text pads a sample on the left."""
    for record, ask in (
        (make_records(1)[0], lambda batch: setup.network.segment(batch).logits_Bhw),
        (make_records(3)[2], setup.network.classify),
    ):
        targets = ["a name that makes for a much longer text"] * 2
        wordy = {"question": "Which of the colours is it, do you think?", "mask_targets": targets}
        longer = dataclasses.replace(record, fields={**record.fields, **wordy})
        (alone,) = prediction_batches(setup, [record]).values()
        (together,) = prediction_batches(setup, [record, longer]).values()
        assert together.input_ids_BL.shape[1] > alone.input_ids_BL.shape[1]
        expected = ask(alone)
        assert torch.allclose(ask(together)[: len(expected)], expected, atol=1e-5)


def test_a_round_trip_through_a_folder_gives_the_same_numbers(make_records, setup, tmp_path):
    save_pretrained(setup.network, setup.tokenizer, tmp_path / "final")
    network, tokenizer = from_pretrained(tmp_path / "final")
    batches = prediction_batches(setup, make_records(3))
    assert network.config == setup.network.config
    assert torch.equal(
        network.segment(batches["segmentation"]).logits_Bhw, setup.network.segment(batches["segmentation"]).logits_Bhw
    )
    assert torch.equal(network.classify(batches["classification"]), setup.network.classify(batches["classification"]))
    assert tokenizer.encode("Is there a <|seg|>?") == setup.tokenizer.encode("Is there a <|seg|>?")


def test_a_checkpoint_that_misses_a_tensor_is_refused(setup, tmp_path):
    from safetensors.torch import load_file, save_file

    save_pretrained(setup.network, setup.tokenizer, tmp_path / "final")
    path = tmp_path / "final" / "model.safetensors"
    tensors = load_file(path)
    tensors.pop("head.final.bias")
    save_file(tensors, path)
    with pytest.raises(BadInput, match=r"1 missing: head\.final\.bias"):
        from_pretrained(tmp_path / "final")


def test_the_seed_decides_the_weights_and_leaves_the_callers_chance_alone(setup):
    state = torch.get_rng_state()
    first, second, third = (build_network(setup.network.config, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    name = "text_prompt.projection.weight"
    assert torch.equal(first[name], second[name]) and not torch.equal(first[name], third[name])


@pytest.mark.parametrize(("grid_side", "window_side"), [(5, 3), (6, 3), (2, 3), (7, 2)])
def test_positions_that_only_pad_are_neither_projected_nor_asked_and_nothing_changes(grid_side, window_side):
    """Against padding first and doing everything everywhere, as SAM does."""
    torch.manual_seed(0)
    attention = RelativeAttention(12, num_heads=3, stored_side=window_side)
    torch.nn.init.normal_(attention.rel_pos_h)
    torch.nn.init.normal_(attention.rel_pos_w)
    grid = torch.randn(2, grid_side, grid_side, 12)
    windows = split_windows(grid, window_side)
    num = -(-grid_side // window_side)
    assert windows.shape == (2 * num**2, window_side, window_side, 12)
    everywhere = attention(windows)  # without windows inside: the whole of each is attended to
    whole = everywhere.view(2, num, num, window_side, window_side, 12).transpose(2, 3)
    expected = whole.reshape(2, num * window_side, num * window_side, 12)[:, :grid_side, :grid_side]
    assert torch.allclose(attention(grid, window_side=window_side), expected, atol=1e-5)

"""How much a sample counts: the published weights by hand, the corrected ones by their properties."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from model.influence import InfluenceLog, influence_by_group, publish_influence
from model.objective import Influence
from model.running_quantile import RunningQuantile
from model.uncertainty import (
    LEAST_ROWS,
    AdaptiveWeights,
    image_text_distance,
    reference_loss,
    reference_weights,
)


def test_published_weights_by_hand():
    loss = torch.tensor([0.0, 1.0, 1.0], requires_grad=True)
    weights = reference_weights(loss, torch.tensor([0.0, 0.0, 2.0]), torch.tensor([1.0, 1.0, 0.0]), strength=1, beta=1)
    assert weights.tolist() == pytest.approx([1 / math.e, 1.0, 0.0], rel=1e-5)  # the row that does not count: 0
    reference_loss(loss, weights, torch.tensor([1.0, 1.0, 0.0])).backward()
    assert loss.grad[0].item() == pytest.approx(1 / (2 * math.e), rel=1e-4)  # its own loss is 0: only the weight


def test_the_distance_is_measured_where_the_mask_is():
    embeddings = torch.zeros(1, 2, 2, 2)
    embeddings[0, 0, :, 0], embeddings[0, 1, :, 1] = 1.0, 1.0  # left half (1, 0), right half (0, 1)
    left = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    text = torch.tensor([[1.0, 0.0]])
    assert image_text_distance(embeddings, left, text).item() == pytest.approx(0, abs=1e-6)
    assert image_text_distance(embeddings, 1 - left, text).item() == pytest.approx(1, abs=1e-6)
    assert image_text_distance(embeddings, None, text).item() == pytest.approx(1 - 1 / math.sqrt(2), abs=1e-5)


def test_corrected_weights_average_one_per_task_and_are_clipped():
    weigh = AdaptiveWeights(("segmentation", "text"), strength=1.0)
    weighed = weigh({"segmentation": torch.tensor([0.0, 0.5, 1.0]), "text": torch.tensor([0.0, 0.0, 0.0, 9.0])})
    for task in weighed.values():
        assert task.weights_B.mean().item() == pytest.approx(1, rel=1e-5) and not task.is_suspicious_B.any()
    first, _, last = weighed["segmentation"].weights_B.tolist()
    assert last / first == pytest.approx(math.e, rel=1e-4)
    light, heavy = weighed["text"].weights_B[0].item(), weighed["text"].weights_B[3].item()
    assert heavy / light == pytest.approx(16, rel=0.05)  # 4 over 1/4, whatever exp(9) says
    empty = weigh({"segmentation": torch.zeros(0), "text": torch.tensor([3.0])})
    assert len(empty["segmentation"].weights_B) == 0 and empty["text"].weights_B.tolist() == [1.0]


def test_the_gradient_is_that_of_tilted_risk():
    """With u the loss itself and nothing clipped: d/dx of log mean exp(loss)."""
    x = torch.tensor([0.1, 0.3, 0.4], requires_grad=True)
    weights = AdaptiveWeights(("segmentation", "text"), strength=1.0)({"segmentation": x, "text": x[:0]})
    (weights["segmentation"].weights_B * x).mean().backward()
    mine, x.grad = x.grad.clone(), None
    (torch.logsumexp(x, 0) - math.log(3)).backward()
    assert torch.allclose(mine, x.grad, atol=1e-6)


def test_a_row_far_beyond_all_others_is_set_aside_once_enough_are_known():
    weigh = AdaptiveWeights(("segmentation", "text"), strength=1.0)
    generator = torch.Generator().manual_seed(0)
    flagged = 0
    for _ in range(400):
        u = torch.rand(8, generator=generator)
        flagged += int(weigh({"segmentation": u, "text": u[:0]})["segmentation"].is_suspicious_B.sum())
    assert flagged < 0.05 * 3200
    outlier = torch.tensor([0.2, 0.4, 30.0])
    weighed = weigh({"segmentation": outlier, "text": outlier[:0]})["segmentation"]
    assert weighed.is_suspicious_B.tolist() == [False, False, True] and weighed.weights_B[2] == 1
    fresh = AdaptiveWeights(("segmentation", "text"), strength=1.0)
    assert (
        LEAST_ROWS > 3
        and not fresh({"segmentation": outlier, "text": outlier[:0]})["segmentation"].is_suspicious_B.any()
    )


@pytest.mark.parametrize("share", [0.3, 0.7, 0.995])
def test_the_running_quantile_finds_and_follows_its_quantile(share):
    quantile, generator = RunningQuantile(share), torch.Generator().manual_seed(1)
    for shift in (0.0, 2.0):
        for _ in range(600):
            quantile.update(shift + torch.rand(6, generator=generator))
        assert quantile.value == pytest.approx(shift + share, abs=0.08)
    again = RunningQuantile(share)
    again.load_state_dict(quantile.bfloat16().state_dict())
    assert again.value == quantile.value and again.num_seen == 7200
    again.update(torch.zeros(0))
    assert again.value == quantile.value


def test_influence_is_summed_by_sample_and_by_group(tmp_path):
    log = InfluenceLog(tmp_path, 0)
    log.begin(0)
    log.write(1, [Influence("a", "text", 2.0, 0.5, False), Influence("b", "text", 0.5, 0.1, False)])
    log.write(2, [Influence("a", "text", 1.0, 0.4, False), Influence("c", "text", 1.0, 9.9, True)])
    log.write(3, [Influence("a", "text", 9.0, 0.4, False)])
    log.begin(2)  # killed after step 3, going on from the checkpoint at 2
    publish_influence(tmp_path)
    influence = pq.read_table(tmp_path / "influence.parquet")
    assert influence.to_pylist()[0] == {"sample_id": "a", "task": "text", "num_draws": 2, "influence": 3.0}
    (suspicious,) = pq.read_table(tmp_path / "review.parquet").to_pylist()
    assert suspicious == {"sample_id": "c", "task": "text", "step": 2, "difficulty": 9.9}
    samples = pa.table({"sample_id": ["a", "b", "c"], "sex": ["female", "male", None]})
    shares = influence_by_group(influence, samples, "sex")
    assert shares["female"] == pytest.approx({"draws": 0.5, "influence": 3 / 4.5})
    assert shares["__missing__"]["draws"] == 0.25


def test_no_draws_leave_no_table(tmp_path):
    publish_influence(tmp_path)
    assert not list(tmp_path.iterdir())
    assert np.isfinite(reference_loss(torch.ones(2), torch.zeros(2), torch.zeros(2)).item())

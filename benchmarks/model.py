"""Speed of the segmentation branch, and on a CUDA machine of the whole published shape.

    python -m benchmarks.model

CPU: the ViT-B branch at 256 px against the same network written out eagerly (every padded window position projected,
attention as matmul, softmax, matmul), in turns in one run; and a second click against encoder + decoder at batch 1.
CUDA: TFLOP/s and share of the measured matrix rate for biascarevl-7b in bfloat16 at batch 1, 8 and 32, forward +
backward, and images/s of multi-label classification of 256 px chest images with 26 classes.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from benchmarks import write_result
from benchmarks.model_cuda import measure_cuda
from model.mask_decoder import MaskDecoder, ProjectedAttention
from model.presets import PRESETS
from model.prompt_encoder import PromptEncoder
from model.prompts import MaskPrompts
from model.vision_encoder import ImageEncoder, RelativeAttention, split_windows

ROUNDS = 7
SPEEDUP_WANTED, CLICK_SHARE_WANTED = 1.3, 0.10


class SegmentationBranch(nn.Module):
    """Image encoder, prompt encoder and mask decoder of the published shape, with random weights."""

    def __init__(self) -> None:
        super().__init__()
        sizes = PRESETS["biascarevl-7b"].segmentation
        self.encoder, self.prompts, self.decoder = ImageEncoder(sizes), PromptEncoder(sizes), MaskDecoder(sizes)

    def decode(self, embeddings_BEGG: Tensor, text_BE: Tensor, prompts: MaskPrompts) -> Tensor:
        masks = self.decoder(
            embeddings_BEGG,
            positions_1EGG=self.prompts.grid_positions(),
            sparse_BPE=self.prompts.sparse_tokens(prompts, text_BE),
            dense_BEGG=self.prompts.embed_masks(prompts.logits_B1hw, len(embeddings_BEGG)),
            text_BE=text_BE,
        )
        return cast(Tensor, masks.logits_Bhw)


def eager_windows(self: RelativeAttention, features_BGGc: Tensor, *, window_side: int = 0) -> Tensor:
    """As the published code computes it: pad first, then project and attend everywhere, then cut."""
    B, G, _, channels = features_BGGc.shape
    side = window_side or G
    n = -(-G // side)
    attended = self.proj(eager_attend(self, self.qkv(split_windows(features_BGGc, side))))
    grid = attended.view(B, n, n, side, side, channels).transpose(2, 3).reshape(B, n * side, n * side, channels)
    return grid[:, :G, :G]


def eager_attend(self: RelativeAttention, qkv: Tensor) -> Tensor:
    B, side, _, triple = qkv.shape
    query, key, value = qkv.view(B, side * side, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    bias = self.position_bias(query, height=side, width=side, side=side)
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1) + bias
    return (logits.softmax(-1) @ value).transpose(1, 2).reshape(B, side, side, triple // 3)


def eager_projected(self: ProjectedAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    q, k, v = (
        layer(tensor).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        for layer, tensor in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
    )
    weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
    return cast(Tensor, self.out_proj((weights @ v).transpose(1, 2).flatten(2)))


@contextmanager
def written_out_eagerly() -> Iterator[None]:
    """The same modules and weights, computed step by step."""
    plain: list[tuple[Any, str, Any]] = [
        (RelativeAttention, "forward", eager_windows),
        (ProjectedAttention, "forward", eager_projected),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in plain]
    for owner, name, function in plain:
        setattr(owner, name, function)
    try:
        yield
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)


def seconds(run: Callable[[], Any]) -> float:
    """CPU seconds of one call: others may use this machine."""
    started = time.process_time()
    run()
    return time.process_time() - started


@torch.no_grad()
def measure_cpu() -> dict[str, float]:
    torch.manual_seed(0)
    branch = SegmentationBranch().eval()
    width, side_px = branch.decoder.iou_token.weight.shape[1], branch.prompts.side_px
    images, text = torch.randn(1, 3, side_px, side_px), torch.randn(1, width)
    click = MaskPrompts(points_BP2=torch.tensor([[[100.0, 90.0]]]), labels_BP=torch.tensor([[1]]))

    def whole() -> Tensor:
        return branch.decode(branch.encoder(images), text, click)

    with written_out_eagerly():
        expected = whole()
    difference = float((whole() - expected).abs().max() / expected.abs().max())
    embeddings, first = branch.encoder(images), whole()
    again = click.with_click(torch.tensor([[[20.0, 30.0]]]), torch.tensor([[0]]), logits_Bhw=first)
    ours, eager, second = [], [], []
    for _ in range(ROUNDS):
        ours.append(seconds(whole))
        with written_out_eagerly():
            eager.append(seconds(whole))
        second.append(seconds(lambda: branch.decode(embeddings, text, again)))
    speedup = statistics.median(e / o for e, o in zip(eager, ours, strict=True))
    share = statistics.median(s / o for s, o in zip(second, ours, strict=True))
    return {
        "speedup_over_eager": round(speedup, 3),
        "second_click_share": round(share, 4),
        "largest_relative_difference": difference,
        "ours_cpu_seconds": round(statistics.median(ours), 3),
        "eager_cpu_seconds": round(statistics.median(eager), 3),
        "second_click_cpu_seconds": round(statistics.median(second), 4),
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    cuda = measure_cuda()  # first: one of its times counts from the start of the process
    result: dict[str, Any] = {"cpu": measure_cpu(), "cuda": cuda}
    write_result("model", result)
    cpu = result["cpu"]
    for name, value in cpu.items():
        print(f"{name:32s} {value}")
    for name, value in (result["cuda"] or {"cuda": "none on this machine: not measured"}).items():
        print(f"{name:32s} {value}")
    print(
        f"model: {cpu['speedup_over_eager']} x the eager network (wanted {SPEEDUP_WANTED}), a second click costs "
        f"{cpu['second_click_share']:.1%} of encoder + decoder (wanted at most {CLICK_SHARE_WANTED:.0%})"
    )


if __name__ == "__main__":
    main()

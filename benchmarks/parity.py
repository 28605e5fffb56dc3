"""Recorded numbers of the published system against ours: ``python -m benchmarks.parity [FOLDER]``.

FOLDER holds ``parity.safetensors`` and ``parity.json`` (REFERENCE section 6) of any tiny configuration; default
../shared/reference, skipped where it is absent. Prints the largest relative difference of every output; exit 1
where one exceeds 1e-4.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import write_result
from ingest.errors import BadInput
from model.batch import Batch
from model.checkpoint import from_reference
from model.class_losses import asymmetric_loss
from model.losses import IGNORED, dice_loss, enlarge
from model.network import BiasCareVL
from model.objective import mean_token_loss, token_losses
from model.prompts import MaskPrompts, Prompt
from model.tail_loop import Look, click_region, reference_hard, second_look
from model.uncertainty import image_text_distance, reference_loss, reference_weights
from model.weight_files import open_weights

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "reference"
LIMIT = 1e-4


def main(folder: Path) -> int:
    if not (folder / "parity.json").is_file():
        print(f"parity: skipped, {folder} holds no parity.json")
        return 0
    torch.set_grad_enabled(False)
    differences = differences_in(folder)
    for name, difference in differences.items():
        print(f"{name:70s} {difference:9.1e}{'  TOO LARGE' if not difference <= LIMIT else ''}")
    worst = max(differences, key=lambda name: differences[name])
    num_bad = sum(not difference <= LIMIT for difference in differences.values())
    write_result("parity", {"outputs": len(differences), "too_large": num_bad, "largest": differences[worst]})
    print(
        f"parity: {len(differences)} outputs, {num_bad} above {LIMIT:g}, largest relative difference "
        f"{differences[worst]:.1e} ({worst})"
    )
    return 1 if num_bad else 0


def differences_in(folder: Path) -> dict[str, float]:
    """Largest relative difference by name of every recorded output; infinite for one we do not produce."""
    description = json.loads((folder / "parity.json").read_text())
    stored = open_weights(folder / "parity.safetensors")
    recorded = {name.removeprefix("out."): stored[name] for name in stored if name.startswith("out.")}
    inputs = {name.removeprefix("in."): stored[name] for name in stored if name.startswith("in.")}
    weights = {name.removeprefix("w."): stored[name] for name in stored if name.startswith("w.")}
    ours: dict[str, Tensor] = {}
    recording = Recording(from_reference(weights, description["config"]), inputs)
    ours.update(recording.parts())
    for name, case in description["cases"].items():
        kind, _, rest = name.partition(".")
        if kind == "head":
            head = {key.removeprefix(f"{name}."): stored[key] for key in stored if key.startswith(f"{name}.")}
            network = from_reference({**weights, **head}, {**description["config"], "head": rest})
            ours.update(head_outputs(network, inputs, name, case))
        else:
            ours.update(recording.training(name, case, recorded))
    return {name: relative_difference(ours.get(name), expected) for name, expected in sorted(recorded.items())}


def relative_difference(ours: Tensor | None, recorded: Tensor) -> float:
    """Largest |ours - recorded| over the largest |recorded|; infinite for another shape or no number."""
    if ours is None or ours.numel() != recorded.numel():
        return float("inf")
    ours, recorded = ours.double().flatten(), recorded.double().flatten()
    difference = float((ours - recorded).abs().max() / recorded.abs().max().clamp(min=1e-12))
    return difference if difference == difference else float("inf")


def batch_of(network: BiasCareVL, inputs: Mapping[str, Tensor], prompt: Prompt = Prompt.TEXT) -> Batch:
    """The recorded inputs as a batch of ours."""
    input_ids, B = inputs["input_ids"], len(inputs["input_ids"])
    num_classes = max(len(network.config.classes), 1)
    return Batch(
        samples=[],
        input_ids_BL=input_ids,
        attention_mask_BL=inputs["attention_mask"],
        image_type_BL=(input_ids == network.config.language["image_token_id"]).long(),
        labels_BL=inputs["labels"],
        patches=inputs["pixel_values"],
        grids=inputs["image_grid_thw"],
        images_B3SS=inputs["images"],
        masks_BSS=inputs["image_labels"],
        points_B12=inputs["point_coords"],
        point_labels_B1=inputs["point_labels"].long(),
        boxes_B4=inputs["bboxs"][:, 0],
        class_truth_BC=inputs["class_labels"],
        competes_BC=torch.ones(B, num_classes, dtype=torch.bool),
        is_multi_label_B=torch.ones(B, dtype=torch.bool),
        is_mask_B=torch.ones(B, dtype=torch.bool),
        is_class_B=torch.ones(B, dtype=torch.bool),
        prompt=prompt,
    )


def head_outputs(
    network: BiasCareVL, inputs: Mapping[str, Tensor], name: str, case: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Logits and asymmetric loss of one classification head."""
    batch = batch_of(network, inputs)
    logits_BC = network.class_logits(network.read(batch), batch, network.embed_images(batch.images_B3SS))
    loss = asymmetric_loss(logits_BC, batch.class_truth_BC, torch.tensor(case["asl_class_counts"]) / case["asl_total"])
    return {f"{name}.cls_logits": logits_BC, f"{name}.asl_loss": loss}


class Recording:
    """The recorded batch, run through one network once."""

    def __init__(self, network: BiasCareVL, inputs: Mapping[str, Tensor]) -> None:
        self.network, self.inputs = network, inputs
        batch = batch_of(network, inputs)
        self.hidden_BLD = network.read(batch)
        self.embeddings_BEGG = network.embed_images(batch.images_B3SS)
        self.text_BE = network.text_prompt(self.hidden_BLD, batch.attention_mask_BL)
        per_token = token_losses(network, self.hidden_BLD, batch.labels_BL)
        self.lm_loss = mean_token_loss(per_token, (batch.labels_BL[:, 1:] != IGNORED).sum())

    def parts(self) -> dict[str, Tensor]:
        by_text = self.network.decode(self.embeddings_BEGG, self.text_BE, MaskPrompts())
        point = batch_of(self.network, self.inputs, Prompt.POINT | Prompt.TEXT).mask_prompts
        asked = self.network.decode(self.embeddings_BEGG, self.text_BE, point)
        side_px = self.inputs["images"].shape[-1]
        return {
            "image_embeddings": self.embeddings_BEGG,
            "last_hidden_state": self.hidden_BLD,
            "text_prompt_embedding": self.text_BE,
            "iou_pred": by_text.quality_B,
            "semantic_pred": by_text.semantics_Bc,
            "infer.pred_masks": enlarge(asked.logits_Bhw, side_px).sigmoid(),
        }

    def training(self, name: str, case: Mapping[str, Any], recorded: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One case: a prompt subset, with or without adaptive uncertainty and tail loop, given its click."""
        prompt = Prompt(sum(Prompt[kind.upper()].value for kind in case["prompt"].split("+")))
        batch = batch_of(self.network, self.inputs, prompt)
        masks = self.network.decode(self.embeddings_BEGG, self.text_BE, batch.mask_prompts)
        truth_BSS = batch.masks_BSS
        counts_B = (torch.arange(len(truth_BSS)) < case["segmentation_samples"]).float()
        dice_B = dice_loss(masks.logits_Bhw, truth_BSS)
        weights_B = counts_B
        if case["aware_loss"]:
            chances_BSS = enlarge(masks.logits_Bhw, truth_BSS.shape[-1]).sigmoid()
            distance_B = image_text_distance(self.embeddings_BEGG, chances_BSS, self.text_BE)
            weights_B = reference_weights(
                dice_B, distance_B, counts_B, strength=case["lambda_uncertainty"], beta=case["beta_vl"]
            )
        loss = reference_loss(dice_B, weights_B, counts_B)
        outputs = {"low_res_masks": masks.logits_Bhw, "lm_loss": self.lm_loss}
        if case["tail_loop"]:
            score_B = weights_B if case["aware_loss"] else dice_B
            hard_B = reference_hard(score_B, counts_B, share=case["top_k_ratio"])
            boxed = MaskPrompts(boxes_B4=batch.boxes_B4[hard_B])
            look = Look(self.embeddings_BEGG[hard_B], self.text_BE[hard_B], boxed, masks.rows(hard_B))
            clicks = recorded[f"{name}.click_coords"], recorded[f"{name}.click_labels"].long()
            refined = second_look(self.network, look, *clicks).masks
            second_B = dice_loss(refined.logits_Bhw, truth_BSS[hard_B])
            loss = loss + reference_loss(second_B, counts_B[hard_B], counts_B[hard_B])
            outputs |= {"ranking_score": score_B, "hard": hard_B, "refined_low_res_masks": refined.logits_Bhw}
            outputs |= dict(self.clicks_agree(name, masks.logits_Bhw, truth_BSS, hard_B, recorded))
        outputs |= {"seg_loss": loss, "loss": loss + self.lm_loss}
        return {f"{name}.{key}": value for key, value in outputs.items()}

    def clicks_agree(
        self, name: str, logits_Bhw: Tensor, truth_BSS: Tensor, hard_B: Tensor, recorded: Mapping[str, Tensor]
    ) -> Iterator[tuple[str, Tensor]]:
        """The recorded clicks where our rule could have drawn them and gives their label; no number elsewhere."""
        clicks, labels = recorded[f"{name}.click_coords"], recorded[f"{name}.click_labels"]
        predicted = enlarge(logits_Bhw[hard_B], truth_BSS.shape[-1]) > 0
        truth = truth_BSS[hard_B] > 0
        region = torch.stack([click_region(*pair) for pair in zip(truth, predicted, strict=True)])
        x, y = clicks[:, 0].long().unbind(1)
        rows = torch.arange(len(clicks))
        allowed = region[rows, y, x] & (truth[rows, y, x].long() == labels[:, 0])
        yield "click_coords", torch.where(allowed[:, None, None], clicks, torch.nan)
        yield "click_labels", torch.where(allowed[:, None], labels, -1)


if __name__ == "__main__":
    try:
        raise SystemExit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT))
    except BadInput as error:
        print(f"parity: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error

"""Does a checkup call healthy models healthy? Twenty of other people's, at their own start.

    python benchmarks/models_healthy.py [--json FILE] [--only NAME ...]

Needs torchvision, timm and transformers, which the book does without: give them an environment of
their own. Nothing is downloaded: every model is drawn as its library draws it, those of
transformers from their own configuration, some with fewer layers or a smaller vocabulary so that
all run in a few gigabytes. Inputs are standard normal images or random tokens, targets are random:
of the data a checkup asks no more. The optimiser is the customary one: SGD at 0.1 with momentum
for networks with batch norm, at 0.01 without, AdamW at 5e-4 for transformers.

Each is drawn from three seeds; `mlpinit/data/healthy_models.json` keeps what came of it, for the
book's page on the checkup. Printed are the figures that the thresholds in
`mlpinit.models.findings` rest on, and what was found, which should be nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import mlpinit
from mlpinit.models.findings import TWO_SIDED, chains, trend

IMAGES, TOKENS = 8, 4


def images(size: int = 224, classes: int = 1000) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(IMAGES, 3, size, size), torch.randint(classes, (IMAGES,))


def vision(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import torchvision.models  # noqa: PLC0415

        return torchvision.models.get_model(name, weights=None)

    return make


def timm_model(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import timm  # noqa: PLC0415

        return timm.create_model(name)

    return make


def language(model: str, config: str, **settings: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import transformers  # noqa: PLC0415

        return getattr(transformers, model)(getattr(transformers, config)(**settings))

    return make


def sgd(rate: float) -> Callable:
    return lambda p: torch.optim.SGD(p, lr=rate, momentum=0.9)


def adamw(p: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(p, lr=5e-4)


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable, int]] = {
    "torchvision resnet18": (vision("resnet18"), sgd(0.1), 128),
    "torchvision resnet50": (vision("resnet50"), sgd(0.1), 128),
    "torchvision vgg11": (vision("vgg11"), sgd(0.01), 128),
    "torchvision densenet121": (vision("densenet121"), sgd(0.1), 128),
    "torchvision mobilenet_v3_large": (vision("mobilenet_v3_large"), sgd(0.1), 128),
    "torchvision efficientnet_b0": (vision("efficientnet_b0"), sgd(0.1), 128),
    "torchvision convnext_tiny": (vision("convnext_tiny"), adamw, 224),
    "torchvision swin_t": (vision("swin_t"), adamw, 224),
    "timm vit_tiny_patch16_224": (timm_model("vit_tiny_patch16_224"), adamw, 224),
    "timm deit_small_patch16_224": (timm_model("deit_small_patch16_224"), adamw, 224),
    "timm mixer_s16_224": (timm_model("mixer_s16_224"), adamw, 224),
    "timm regnety_008": (timm_model("regnety_008"), sgd(0.1), 128),
    "timm resnetv2_50": (timm_model("resnetv2_50"), sgd(0.1), 128),
    "timm convmixer_768_32": (timm_model("convmixer_768_32"), adamw, 112),
    "transformers BERT": (
        language(
            "BertForSequenceClassification", "BertConfig", num_labels=4, num_hidden_layers=8
        ),
        adamw, 0,
    ),
    "transformers GPT-2": (language("GPT2LMHeadModel", "GPT2Config", n_layer=8), adamw, 0),
    "transformers Llama": (
        language(
            "LlamaForCausalLM", "LlamaConfig", hidden_size=512, intermediate_size=1376,
            num_hidden_layers=12, num_attention_heads=8, vocab_size=8000,
        ),
        adamw, 0,
    ),
    "transformers RoBERTa": (
        language("RobertaForMaskedLM", "RobertaConfig", num_hidden_layers=6), adamw, 0
    ),
    "transformers ELECTRA": (
        language("ElectraForSequenceClassification", "ElectraConfig", num_labels=4), adamw, 0
    ),
    "transformers T5": (language(
            "T5ForConditionalGeneration", "T5Config", decoder_start_token_id=0
        ), adamw, 0),
}  # fmt: skip
"""How it is drawn, the customary optimiser, and the size of its images (0: it takes tokens)."""


def batch_of(name: str, size: int, model: nn.Module) -> Any:
    if size:
        return images(size)
    tokens = torch.randint(100, model.config.vocab_size, (TOKENS, 48))
    if "Classification" in type(model).__name__:
        return {"input_ids": tokens, "labels": torch.randint(4, (TOKENS,))}
    if name.endswith("T5"):
        answers = torch.randint(100, model.config.vocab_size, (TOKENS, 32))
        return {"input_ids": tokens, "labels": answers}
    return {"input_ids": tokens, "labels": tokens}


def score(output: Any, _batch: Any) -> torch.Tensor:
    return output.loss


def figures(found: mlpinit.models.checkup.Checkup) -> dict[str, Any]:
    """What the thresholds are set against."""
    layers = found.layers[:-1]
    paths = list(chains(layers))

    def most(*measured: list[float]) -> float:
        totals = [trend(values)[1] for values in measured]
        return max((max(t, 1 / t) for t in totals), default=1.0)

    updates = sorted(x.update for x in found.layers if x.update)
    flat, stuck = 0.0, 0.0
    for site in found.sites.sites.values():
        share = site.recent.flat_share
        if share is None:
            continue
        dead = (share == 1).sum().item()
        if site.activation in TWO_SIDED:
            flat = max(flat, share.mean().item())
        else:
            stuck = max(stuck, (dead - (share == 0).sum().item()) / site.units)
    value = found.chance.value
    return {
        "excess": None if value is None else round(found.loss - value, 3),
        "logits_std": found.chance.logits_std and round(found.chance.logits_std, 3),
        "signal": round(most(*([x.signal for x in c] for c in paths)), 1),
        "rms": round(most(*([x.rms for x in c] for c in paths)), 1),
        "gradient": round(most(*([x.gradient or 0.0 for x in c] for c in paths)), 1),
        "flat": round(flat, 3),
        "stuck": round(stuck, 3),
        "update": round(math.log10(updates[len(updates) // 2]), 2) if updates else None,
        "found": [f.name for f in found.findings],
    }


def look(name: str, seed: int) -> mlpinit.models.checkup.Checkup:
    make, optimizer, size = MODELS[name]
    torch.manual_seed(seed)
    model = make()
    batch = batch_of(name, size, model)
    loss = F.cross_entropy if size else score
    return mlpinit.checkup(model, batch, loss, optimizer=optimizer(model.parameters()))


def _written(kept: dict[str, list[dict[str, Any]]]) -> str:
    """A line for each draw, and the versions that drew it."""
    versions = {name: version(name) for name in ("torch", "torchvision", "timm", "transformers")}
    models = ",\n".join(
        f"  {json.dumps(name)}: [\n" + ",\n".join(f"   {json.dumps(row)}" for row in rows) + "\n  ]"
        for name, rows in kept.items()
    )
    return f'{{\n "versions": {json.dumps(versions)},\n "models": {{\n{models}\n }}\n}}\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="where to keep the figures")
    parser.add_argument("--only", nargs="*", default=[], help="parts of names")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    kept: dict[str, list[dict[str, Any]]] = {}
    for name in MODELS:
        if asked.only and not any(part in name for part in asked.only):
            continue
        kept[name] = [figures(look(name, seed)) for seed in range(asked.seeds)]
        for row in kept[name]:
            print(f"{name:34} " + " ".join(f"{k} {v}" for k, v in row.items()), flush=True)
        if asked.json:
            asked.json.write_text(_written(kept), encoding="utf-8")
    sick = [name for name, rows in kept.items() if any(row["found"] for row in rows)]
    print(
        f"{len(kept)} models, {asked.seeds} draws of each; something found in {len(sick)}: {sick}"
    )
    return 1 if sick else 0


if __name__ == "__main__":
    sys.exit(main())

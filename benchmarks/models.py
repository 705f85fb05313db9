"""How far `remove` reaches in other people's models: sites seen, cut, and refused with the reason.

    make bench-models                     # its environment is made by that one command
    python benchmarks/models.py [--only NAME ...] [--library NAME] [--seconds 60]

Models of torchvision, timm and transformers, drawn as their library draws them and not downloaded;
those of transformers are small, with two layers. At each site that `audit` sees, two units are
killed: the weights that lead to them are set to 0, and the bias to −30. Then all are to be removed
in one call. A site is cut if its units went and every output of the whole model is as it was.

One process per model, so that one that crashes or takes too long costs no other. What came of it is
kept in `benchmarks/models.json`, and the table in `book/back/models.md` is written from that.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from mlpinit.models.batches import Batches
from mlpinit.models.layers import weight_axes
from mlpinit.models.measuring import Followed
from mlpinit.models.parts import Parts
from mlpinit.sites import SiteError
from mlpinit.surgery import remove
from mlpinit.watch import audit

HERE = Path(__file__).parent
KEPT, PAGE = HERE / "models.json", HERE.parent / "book" / "back" / "models.md"
LIBRARIES = ("torchvision", "timm", "transformers")

TORCHVISION = """
alexnet convnext_tiny densenet121 densenet169 efficientnet_b0 efficientnet_b1 efficientnet_b3
efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5 mnasnet1_0 mobilenet_v2
mobilenet_v3_large mobilenet_v3_small regnet_x_400mf regnet_x_800mf regnet_y_400mf regnet_y_800mf
resnet18 resnet34 resnet50 resnet101 resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0
squeezenet1_0 squeezenet1_1 swin_t swin_v2_t vgg11 vgg11_bn vgg16_bn vit_b_16 wide_resnet50_2
""".split()  # noqa: SIM905

TIMM = """
bat_resnext26ts beit_base_patch16_224 botnet26t_256 cait_xxs24_224 coat_tiny coatnet_nano_rw_224
convit_tiny convmixer_768_32 convnext_atto convnextv2_atto crossvit_tiny_240 cs3darknet_s
cspdarknet53 cspresnet50 darknet53 deit_tiny_patch16_224 densenet121 dla34 dpn48b eca_nfnet_l0
edgenext_xx_small efficientformer_l1 efficientnet_b0 efficientnet_lite0 efficientnetv2_rw_t
efficientvit_b0 eva02_tiny_patch14_224 fastvit_t8 fbnetc_100 focalnet_tiny_srf gcresnet33ts
gernet_s ghostnet_100 gmixer_24_224 gmlp_s16_224 hardcorenas_a hrnet_w18_small inception_resnet_v2
inception_v4 lcnet_050 levit_128s mixer_s16_224 mixnet_s mnasnet_small mobilenetv2_050
mobilenetv3_small_050 mobilenetv4_conv_small mobileone_s0 mobilevit_xxs mobilevitv2_050
mvitv2_tiny nest_tiny nf_regnet_b0 pit_ti_224 poolformer_s12 pvt_v2_b0 regnetx_002 regnety_002
repvgg_a0 res2net50_14w_8s resmlp_12_224 resnest14d resnet18 resnet26d resnetrs50 resnetv2_50
rexnet_100 selecsls42 semnasnet_050 seresnet18 skresnet18 spnasnet_100
swin_tiny_patch4_window7_224 tf_efficientnet_b0 tinynet_e tiny_vit_5m_224 tresnet_m visformer_tiny
vit_tiny_patch16_224 vovnet39a volo_d1_224 xception41 xcit_nano_12_p8_224
""".split()  # noqa: SIM905

_WIDE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 200}
_MLP = {**_WIDE, "intermediate_size": 96}
_GQA = {**_MLP, "num_key_value_heads": 2, "pad_token_id": 0}
_ENCODER_DECODER = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96, "vocab_size": 200,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip
_T5 = {"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_heads": 4, "vocab_size": 200,
       "decoder_start_token_id": 0}  # fmt: skip
_GPT = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 200}
_VIT = {**_MLP, "image_size": 64, "patch_size": 16}
_VIT.pop("vocab_size")

TRANSFORMERS = {
    "albert": {**_MLP, "embedding_size": 32}, "bart": _ENCODER_DECODER, "bert": _MLP,
    "bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 200},
    "camembert": _MLP, "codegen": {**_GPT, "rotary_dim": 8}, "convbert": {**_MLP,
    "embedding_size": 64}, "convnext": {}, "deberta-v2": _MLP, "deit": _VIT, "dinov2": _VIT,
    "distilbert": {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 96, "vocab_size": 200},
    "electra": {**_MLP, "embedding_size": 32}, "ernie": _MLP, "esm": {**_MLP, "pad_token_id": 1},
    "falcon": {**_WIDE}, "gemma": {**_GQA, "head_dim": 16}, "gemma2": {**_GQA, "head_dim": 16},
    "gpt2": _GPT, "gpt_neo": {"hidden_size": 64, "num_layers": 2, "num_heads": 4,
    "attention_types": [[["global", "local"], 1]], "vocab_size": 200}, "gpt_neox": _MLP,
    "gptj": {**_GPT, "rotary_dim": 8}, "granite": _GQA, "layoutlm": _MLP, "llama": _GQA,
    "mbart": _ENCODER_DECODER, "mistral": _GQA, "mobilevit": {}, "mpnet": _MLP, "mt5": _T5,
    "olmo": _GQA, "opt": {**_WIDE, "ffn_dim": 96, "word_embed_proj_dim": 64, "pad_token_id": 1},
    "pegasus": _ENCODER_DECODER, "phi": _GQA, "phi3": _GQA, "qwen2": _GQA,
    "qwen3": {**_GQA, "head_dim": 16}, "resnet": {}, "roberta": _MLP, "segformer": {},
    "squeezebert": {**_MLP, "embedding_size": 64}, "stablelm": _GQA, "starcoder2": _GQA, "t5": _T5,
    "vit": _VIT,
}  # fmt: skip


def drawn(library: str, name: str) -> tuple[nn.Module, object]:
    """A model in evaluation mode, and a batch for it."""
    torch.manual_seed(0)
    if library == "torchvision":
        import torchvision  # noqa: PLC0415

        more = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        model = torchvision.models.get_model(name, weights=None, **more).eval()
        fixed = name.startswith(("maxvit", "vit", "swin"))
        side = 224 if fixed else 96 if name != "inception_v3" else 160
        return model, torch.randn(2, 3, side, side)
    if library == "timm":
        import timm  # noqa: PLC0415

        model = timm.create_model(name, pretrained=False).eval()
        fixed = model.default_cfg.get("fixed_input_size")
        side = model.default_cfg["input_size"][-1] if fixed else 128
        return model, torch.randn(2, 3, side, side)
    import transformers  # noqa: PLC0415

    config = transformers.AutoConfig.for_model(name, **TRANSFORMERS[name])
    model = transformers.AutoModel.from_config(config).eval()
    if model.main_input_name == "pixel_values":
        return model, {"pixel_values": torch.randn(2, 3, 64, 64)}
    tokens = torch.randint(3, 200, (2, 9))
    batch = {"input_ids": tokens}
    return model, {**batch, "decoder_input_ids": tokens} if config.is_encoder_decoder else batch


def kill(model: nn.Module, job: Followed) -> None:
    """Weights of 0 into a site's units, and a bias of −30 where there is one."""
    layer = model.get_submodule(job.producer)
    rows = sorted(job.cuts.outputs[job.producer])
    with torch.no_grad():
        layer.weight.movedim(weight_axes(layer)[0], 0)[rows] = 0.0
        if layer.bias is not None:
            layer.bias[rows] = -30.0


def tried(library: str, name: str) -> dict:
    """What became of each site of a model: "" for one that is cut, else the reason."""
    model, batch = drawn(library, name)
    report = audit(model, [batch])
    parts = Parts(model, Batches(batch, model))
    jobs, reasons = [], dict.fromkeys(report.sites, "")
    for site in report.sites:
        try:
            found, refused = parts.follow({site: [0, 1]})
            reasons.update((site, str(why)) for why in refused.values())
            jobs += found
        except ValueError as error:
            reasons[site] = str(error)
    for job in jobs:
        kill(model, job)
    units = {job.site: job.units for job in jobs}
    names = {
        job.site: site for job in jobs for site in report.sites if job.plan.named(site) == job.site
    }
    try:
        removal = remove(model, units, batch) if units else None
        kept = removal.kept if removal else {}
    except SiteError as error:
        kept = dict.fromkeys(units, str(error))
    for site, why in kept.items():
        reasons[names.get(site, site)] = why
    whole = isinstance(parts.maps[""], SiteError)
    return {
        "sites": len(reasons),
        "traced": not whole,
        "refused": {s: w for s, w in reasons.items() if w},
    }


def apart(library: str, name: str, seconds: int) -> dict:
    """`tried`, in a process of its own that has so many seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        signal.setitimer(signal.ITIMER_PROF, seconds)  # of work, on a busy machine too
        try:
            answer = tried(library, name)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        with os.fdopen(writing, "w") as out:
            json.dump(answer, out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as came:
        text = came.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"error": f"worked for more than {seconds} s, or crashed"}


def wanted(library: str | None, only: list[str]) -> Iterator[tuple[str, str]]:
    names = {"torchvision": TORCHVISION, "timm": TIMM, "transformers": list(TRANSFORMERS)}
    for where in LIBRARIES:
        for name in names[where] if library in (None, where) else ():
            if not only or name in only:
                yield where, name


REASONS: dict[str, str] = {
    "are an output of the model": "the units are what the model answers",
    "mixes": "they are added to other values, or multiplied (residual branches, attention)",
    r"come from '(add|iadd)": "the activation is applied to a sum",
    r"come from module|come from": "no Linear or convolution makes them alone",
    "in .* groups": "a convolution in groups",
    "shared|is used": "the layer is used more than once",
    "cannot trace|there is no": "torch.fx cannot trace the part around it",
    "pads with zeros": "a constant other than 0 at a border of zeros",
    "varies": "the units vary where they are read",
    "differs|does not run|has shape": "the forward names a size, or uses the weights otherwise",
    "reach module": "a norm over units, or another module that mixes them",
    "reach": "an operation that mixes them or moves them about",
    "all .* units": "the site has two units, or one",
}


def reason(why: str) -> str:
    """A refusal in the words of the table."""
    return next((words for part, words in REASONS.items() if re.search(part, why)), "other")


def table(kept: dict) -> str:
    """The page's tables, in Markdown."""
    lines = [
        "| library | models | sites | cut | models with a cut | not tried |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    whole = Counter()
    for library in LIBRARIES:
        rows = [row for row in kept["models"].values() if row["library"] == library]
        counts = Counter(tried=0, sites=0, cut=0, some=0, failed=0)
        for row in rows:
            if "error" in row:
                counts["failed"] += 1
                continue
            cut = row["sites"] - sum(row["refused"].values())
            counts.update(tried=1, sites=row["sites"], cut=cut, some=cut > 0)
        whole.update(counts)
        lines.append(_row(f"{library} {kept['versions'][library]}", counts))
    lines += [_row("all", whole), "", "| why the others stay | sites |", "|---|--:|"]
    refused = Counter()
    for row in kept["models"].values():
        refused.update(row.get("refused", {}))
    lines += [f"| {why} | {n:,} |" for why, n in refused.most_common()]
    return "\n".join(lines)


def _row(name: str, n: Counter) -> str:
    share = f" ({n['cut'] / n['sites']:.0%})" if n["sites"] else ""
    cells = (name, n["tried"], f"{n['sites']:,}", f"{n['cut']:,}{share}", n["some"], n["failed"])
    return f"| {' | '.join(map(str, cells))} |"


BEGIN, END = "% what benchmarks/models.py found", "% to here"


def on_page(text: str, kept: dict) -> str:
    """The page with its tables made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(kept)}\n\n{END}{rest.partition(END)[2]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--library", choices=LIBRARIES)
    parser.add_argument("--seconds", type=int, default=60, help="at most, for a model")
    parser.add_argument("--within", type=int, default=3600, help="seconds, for all together")
    parser.add_argument("--missing", action="store_true", help="only models not tried yet")
    parser.add_argument("--verbose", action="store_true", help="print every refusal")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for library in LIBRARIES if asked.library is None else (asked.library,):
        __import__(library)
    kept = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {"models": {}}
    kept["versions"] = {name: version(name) for name in ("torch", *LIBRARIES)}
    start = time.monotonic()
    for library, name in wanted(asked.library, asked.only):
        if time.monotonic() - start > asked.within:
            break
        if asked.missing and "sites" in kept["models"].get(f"{library} {name}", {}):
            continue
        found = apart(library, name, asked.seconds)
        row = {"library": library, **found}
        if "refused" in found:
            for site, why in found["refused"].items() if asked.verbose else ():
                print(f"    {site}: {why[:200]}")
            row["refused"] = dict(Counter(map(reason, found["refused"].values())))
        kept["models"][f"{library} {name}"] = row
        print(f"{time.monotonic() - start:6.0f} s  {library} {name}: {json.dumps(row)}", flush=True)
        KEPT.write_text(_written(kept), encoding="utf-8")
    if PAGE.exists():
        PAGE.write_text(on_page(PAGE.read_text("utf-8"), kept), encoding="utf-8")
    print(table(kept))
    return 0


def _written(kept: dict) -> str:
    """One line for each model."""
    rows = ",\n".join(f"  {json.dumps(n)}: {json.dumps(row)}" for n, row in kept["models"].items())
    return f'{{\n "versions": {json.dumps(kept["versions"])},\n "models": {{\n{rows}\n }}\n}}\n'


if __name__ == "__main__":
    sys.exit(main())

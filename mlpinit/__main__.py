"""A checkup or an audit of a model from the command line.

    python -m mlpinit checkup PACKAGE.MODULE:make_model --data PACKAGE.MODULE:make_loader
    python -m mlpinit audit PACKAGE.MODULE:make_model --data PACKAGE.MODULE:make_loader

`make_model` is a function without arguments that returns a `torch.nn.Module`, a class of one, or a
model; `make_loader` likewise gives batches, as a `DataLoader` or a list has them. Modules are found
as Python finds them, the present folder first.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mlpinit._files import write_whole
from mlpinit.models import checkup_views
from mlpinit.models.checkup import Checkup, checkup
from mlpinit.watch import Report, audit

__all__ = ["main"]

FORMATS = ("text", "json", "html")
LOSSES = {
    "cross_entropy": nn.functional.cross_entropy,
    "mse": nn.functional.mse_loss,
    "bce": nn.functional.binary_cross_entropy_with_logits,
}
HEALTHY, FOUND, USAGE = 0, 1, 2
CODES = (
    "exit codes: 0 it was done (with --fail: and nothing was found), 1 with --fail: something was "
    "found, 2 it could not be done, and why is said on standard error"
)


class UsageError(ValueError):
    """What was asked for cannot be done."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a replaced one may lack it
            stream.reconfigure(errors="backslashreplace")
    asked = _parser().parse_args(arguments)
    try:
        target = _output(asked.output)
        model = _made(asked.model, "model", nn.Module, asked.seed)
        data = _made(asked.data, "data", Iterable, asked.seed)
        found, sick = (
            _audit(model, data) if asked.command == "audit" else _checkup(model, data, asked)
        )
        _write(_shown(found, asked), target)
    except UsageError as error:
        print(f"mlpinit {asked.command}: {error}", file=sys.stderr)
        return USAGE
    return FOUND if asked.fail and sick else HEALTHY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mlpinit",
        description="Look at a model before it trains (checkup), or count its dead units (audit).",
        epilog=CODES,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, told in (
        ("checkup", "one batch forward and back: what is wrong with a start, and what to change"),
        ("audit", "a whole data set: every unit's verdict, with its evidence"),
    ):
        command = commands.add_parser(name, help=told, description=told, epilog=CODES)
        command.add_argument("model", metavar="PACKAGE.MODULE:NAME", help="what makes the model")
        command.add_argument(
            "--data", required=True, metavar="PACKAGE.MODULE:NAME", help="what makes the batches"
        )
        command.add_argument("--format", choices=FORMATS, default="text")
        command.add_argument("--output", type=Path, metavar="FILE", help="instead of printing it")
        command.add_argument("--fail", action="store_true", help="exit with 1 if anything is found")
        command.add_argument("--seed", type=int, default=0, help="of torch's draws; default: 0")
        if name == "checkup":
            command.add_argument(
                "--loss",
                default="cross_entropy",
                metavar="LOSS",
                help=f"{', '.join(LOSSES)}, or PACKAGE.MODULE:NAME of loss(output, targets); "
                "default: cross_entropy",
            )
            command.add_argument(
                "--optimizer",
                metavar="PACKAGE.MODULE:NAME",
                help="a function that makes the optimiser of the model's parameters",
            )
    return parser


def _output(path: Path | None) -> Path | None:
    """Refused before work begins."""
    if path is not None and not path.parent.is_dir():
        raise UsageError(f"--output {path}: there is no folder {path.parent}")
    if path is not None and path.is_dir():
        raise UsageError(f"--output {path} is a folder; wanted a file in it")
    return path


# What is named


def _named(spec: str, option: str) -> Any:
    """The object that PACKAGE.MODULE:NAME names."""
    module, colon, name = spec.partition(":")
    if not (module and colon and name):
        raise UsageError(
            f"{option} is {spec!r}; wanted PACKAGE.MODULE:NAME, as in my_project.net:make_model"
        )
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(module.partition(".")[0]):
            raise _raised(f"importing {module}", error) from error  # what it imports is not there
        raise UsageError(
            f"{option} is {spec!r}, and there is no module {error.name!r}; modules are looked for "
            f"in {os.getcwd()} and where Python is installed (PYTHONPATH adds others)"
        ) from error
    except Exception as error:
        raise _raised(f"importing {module}", error) from error
    for part in name.split("."):
        if not hasattr(found, part):
            public = [n for n in vars(found) if n[0] != "_"][:8]
            raise UsageError(
                f"{option} is {spec!r}, and {module} has no {part!r}; it has {', '.join(public)}"
            )
        found = getattr(found, part)
    return found


def _made(spec: str, option: str, kind: type, seed: int) -> Any:
    """The model or the batches, made by what is named, or what is named itself."""
    found = _named(spec, option)
    if not isinstance(found, kind) or isinstance(found, type):
        if not callable(found):
            raise UsageError(
                f"{option}: {spec} is a {type(found).__name__}; wanted {_WANTED[kind]}"
            )
        torch.manual_seed(seed)  # after the import, which is made once and may draw
        found = _attempt(f"{spec}()", found)
    if not isinstance(found, kind):
        raise UsageError(f"{option}: {spec} gave a {type(found).__name__}; wanted {_WANTED[kind]}")
    return found


_WANTED = {
    nn.Module: "a torch.nn.Module, or a function without arguments that returns one",
    Iterable: "batches, as a DataLoader or a list has them, or a function that returns these",
}


def _attempt(what: str, function: Callable, *arguments: object, **named: object) -> Any:
    """Call what is not ours; what it raises is shown whole, and named."""
    try:
        return function(*arguments, **named)
    except Exception as error:
        raise _raised(what, error) from error


def _raised(what: str, error: Exception) -> UsageError:
    traceback.print_exception(error)
    return UsageError(f"{what} raised {type(error).__name__}: {error}")


# What is done


def _audit(model: nn.Module, data: Iterable) -> tuple[Report, bool]:
    found = _attempt("the audit", audit, model, data)
    return found, bool(found.dead())


def _checkup(model: nn.Module, data: Iterable, asked: argparse.Namespace) -> tuple[Checkup, bool]:
    loss = LOSSES.get(asked.loss) or _named(asked.loss, "--loss")
    optimizer = None
    if asked.optimizer:
        make = _named(asked.optimizer, "--optimizer")
        optimizer = _attempt(f"{asked.optimizer}(parameters)", make, model.parameters())
    batch = _attempt("the first batch", next, iter(data), None)
    if batch is None:
        raise UsageError(f"data: {asked.data} is empty; wanted at least one batch")
    found = _attempt("the checkup", checkup, model, batch, loss, optimizer=optimizer)
    return found, not found.healthy


def _shown(found: Checkup | Report, asked: argparse.Namespace) -> str:
    if asked.format == "json":
        return json.dumps(found.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if asked.format == "html":
        picture = checkup_views.svg(found.figure()) if isinstance(found, Checkup) else ""
        title = f"{asked.command.capitalize()} of {asked.model}"
        return checkup_views.page(title, found._repr_html_(), picture)
    return f"{found}\n"


def _write(text: str, path: Path | None) -> None:
    """Print it, or write it to a file."""
    if path is None:
        sys.stdout.write(text)
        return
    try:
        write_whole(path, text)
    except OSError as error:
        raise UsageError(f"--output {path} cannot be written: {error}") from error


if __name__ == "__main__":
    sys.exit(main())

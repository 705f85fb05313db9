"""Watch the network of a `LightningModule` while a Lightning `Trainer` trains it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from mlpinit.integrations.monitor import Monitor, missing

try:
    from lightning.pytorch import Callback
except ImportError:
    try:
        from pytorch_lightning import Callback
    except ImportError:
        Callback = missing("Lightning", "lightning")

__all__ = ["WatchCallback"]


class WatchCallback(Callback):
    """A callback for Lightning's `Trainer`.

        trainer = Trainer(callbacks=[WatchCallback(module="net", every=10, log_every=100)])

    - `module`: the name of the part to watch, as `named_modules` has it. None watches the only
      child that has parameters, and where there are several the `LightningModule` itself, which
      then has to be called as self(x) in `training_step`
    - the others: as for `mlpinit.integrations.Monitor`, which is `monitor`

    Scalars go to every logger of the trainer, at the trainer's global step. `watch.json` and
    `watch.txt` are written to the folder of the checkpoints whenever one is saved and at the end,
    and without a `ModelCheckpoint` to the trainer's folder of logs.

    Raises `ImportError` where Lightning is not installed, and `ValueError` for a `module` that is
    not there, and as `Monitor` does.
    """

    def __init__(self, module: str | None = None, **options: Any) -> None:
        """As the class says."""
        super().__init__()
        self.module, self.monitor = module, Monitor(**options)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to watch."""
        self.monitor.start(_part(pl_module, self.module), trainer.global_step)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Log and recycle, where that is due."""
        self.monitor.step(trainer.global_step, self._log(trainer), trainer.optimizers)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Write the report beside it."""
        self.monitor.write(_folder(trainer))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Log and write once more, and leave the model as it was."""
        self.monitor.log(self._log(trainer))
        self.monitor.write(_folder(trainer))
        self.monitor.stop()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leave the model as it was."""
        self.monitor.stop()

    def _log(self, trainer: Any) -> Any:
        def log(scalars: dict[str, float], step: int) -> None:
            for logger in trainer.loggers:
                logger.log_metrics(scalars, step)

        return log


def _part(pl_module: nn.Module, name: str | None) -> nn.Module:
    """The module to watch."""
    if name is not None:
        try:
            return pl_module.get_submodule(name)
        except AttributeError:
            there = ", ".join(repr(child) for child, _ in pl_module.named_children())
            raise ValueError(
                f"module is {name!r}, and {type(pl_module).__name__} has none of that name; "
                f"its own are {there}"
            ) from None
    children = [child for child in pl_module.children() if any(True for _ in child.parameters())]
    return children[0] if len(children) == 1 else pl_module


def _folder(trainer: Any) -> Path:
    """Where checkpoints are saved. Every rank has to ask."""
    checkpoints = trainer.checkpoint_callback
    folder = None if checkpoints is None else getattr(checkpoints, "dirpath", None)
    return Path(folder or trainer.log_dir or trainer.default_root_dir)

"""Watch a model while a `Learner` of fastai trains it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlpinit.integrations.monitor import Monitor, missing

try:
    from fastai.callback.core import Callback
except ImportError:
    Callback = missing("fastai", "fastai")

__all__ = ["WatchCallback"]


class WatchCallback(Callback):
    """A callback for fastai's `Learner`.

        learn = Learner(dls, model, cbs=[TensorBoardCallback(), WatchCallback(every=10)])

    Its arguments are those of `mlpinit.integrations.Monitor`, which is `monitor`. Scalars go to
    the writer of a `TensorBoardCallback` and to the run of a `WandbCallback`, where the learner has
    one, and are kept in `scalars` in any case, as (step, scalars). `watch.json` and `watch.txt`
    are written after each epoch and at the end to the folder where the learner saves models.

    Raises `ImportError` where fastai is not installed, and `ValueError` as `Monitor` does.
    """

    order = 60  # after TensorBoardCallback has made its writer, and the Recorder

    def __init__(self, **options: Any) -> None:
        """As the class says."""
        super().__init__()
        self.monitor, self.scalars = Monitor(**options), []

    def before_fit(self) -> None:
        """Begin to watch, unless it is no training: a search for a rate, or predictions."""
        self.run = not hasattr(self.learn, "lr_finder") and not hasattr(self, "gather_preds")
        if self.run:
            self.monitor.start(self.learn.model)

    def after_batch(self) -> None:
        """Log and recycle, where that is due."""
        if self.learn.training:
            self.monitor.step(self.learn.train_iter, self._log, [self.learn.opt])

    def after_epoch(self) -> None:
        """Write the report where models are saved."""
        self.monitor.write(self._folder())

    def after_fit(self) -> None:
        """Log and write once more, and leave the model as it was."""
        self.monitor.log(self._log)
        self.monitor.write(self._folder())
        self.monitor.stop()

    def _folder(self) -> Path:
        return Path(self.learn.path) / self.learn.model_dir

    def _log(self, scalars: dict[str, float], step: int) -> None:
        self.scalars.append((step, scalars))
        for callback in self.learn.cbs:
            writer = getattr(callback, "writer", None)
            if writer is not None:
                for name, value in scalars.items():
                    writer.add_scalar(name, value, step)
            elif hasattr(callback, "_wandb_step"):
                import wandb  # noqa: PLC0415 (there, for the callback has imported it)

                wandb.log(scalars, step=callback._wandb_step)

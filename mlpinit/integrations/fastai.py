"""Watch a model while a `Learner` of fastai trains it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlpinit.integrations.monitor import Log, Monitor, missing

try:
    from fastai.callback.core import Callback
except ImportError:
    Callback = missing("fastai", "fastai")

__all__ = ["WatchCallback"]


class WatchCallback(Callback):
    """A callback for fastai's `Learner`.

        learn = Learner(dls, model, cbs=[TensorBoardCallback(), WatchCallback(every=10)])

    - `log`: what to call with the scalars and the step, such as `wandb.log` or
      `mlflow.log_metrics`. The writer of a `TensorBoardCallback` has them in any case, where the
      learner has one, and so has `scalars`, as (step, scalars)
    - the others: as for `mlpinit.integrations.Monitor`, which is `monitor`

    `watch.json` and `watch.txt` are written after each epoch and at the end to the folder where
    the learner saves models. The step is `train_iter`, from 1.

    Raises `ImportError` where fastai is not installed, and `ValueError` as `Monitor` does.
    """

    order = 60  # after TensorBoardCallback has made its writer, and the Recorder

    def __init__(self, log: Log | None = None, **options: Any) -> None:
        """As the class says."""
        super().__init__()
        self.monitor, self.log_to = Monitor(**options), log
        self.scalars: list[tuple[int, dict[str, float]]] = []

    def before_fit(self) -> None:
        """Begin to watch, unless it is no training: a search for a rate, or predictions."""
        self.run = not hasattr(self.learn, "lr_finder") and not hasattr(self, "gather_preds")
        if self.run:
            self.monitor.start(self.learn.model)

    def after_batch(self) -> None:
        """Log and recycle, where that is due."""
        if self.learn.training:
            optimizer = self.learn.opt
            torchs_own = getattr(optimizer, "opt", optimizer)  # fastai's wrapper has no state
            self.monitor.step(self.learn.train_iter, self._log, [torchs_own])

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
        if self.log_to is not None:
            self.log_to(scalars, step)

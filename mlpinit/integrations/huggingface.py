"""Watch a model while a `transformers.Trainer` trains it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlpinit.integrations.monitor import Monitor, missing

try:
    from transformers import TrainerCallback
except ImportError:
    TrainerCallback = missing("Hugging Face's Trainer", "transformers accelerate")

__all__ = ["WatchCallback"]


class WatchCallback(TrainerCallback):
    """A callback for the `Trainer` of Hugging Face.

        trainer = Trainer(model=model, args=args, train_dataset=data)
        trainer.add_callback(WatchCallback(trainer, every=10, log_every=100))

    - `trainer`: the one that it is added to, for no callback is told what to log to
    - the others: as for `mlpinit.integrations.Monitor`, which is `monitor`

    Scalars go to `trainer.log`, and so to all that `report_to` names and to the trainer's
    `log_history`. `watch.json` and `watch.txt` are written into each checkpoint's own folder, and
    at the end into `output_dir`.

    Raises `ImportError` where transformers is not installed, `TypeError` for a `trainer` that
    cannot log, and `ValueError` as `Monitor` does.
    """

    def __init__(self, trainer: Any, **options: Any) -> None:
        """As the class says."""
        super().__init__()
        if not callable(getattr(trainer, "log", None)):
            raise TypeError(
                f"trainer is {type(trainer).__name__}; wanted the Trainer that this is added to: "
                "trainer.add_callback(WatchCallback(trainer))"
            )
        self.trainer, self.monitor = trainer, Monitor(**options)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to watch."""
        self.monitor.start(kwargs["model"], state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Log and recycle, where that is due."""
        self.monitor.step(state.global_step, self._log, [kwargs["optimizer"]])
        if state.global_step >= state.max_steps or control.should_training_stop:
            self.monitor.log(self._log)  # now: at the end of training loggers have closed

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the report into the checkpoint's folder."""
        self.monitor.write(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write once more, and leave the model as it was."""
        self.monitor.write(args.output_dir)
        self.monitor.stop()

    def _log(self, scalars: dict[str, float], step: int) -> None:
        self.trainer.log(dict(scalars))

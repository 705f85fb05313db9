"""Watch a model inside a trainer that has the loop: Lightning, Hugging Face, fastai.

    from mlpinit.integrations.lightning import WatchCallback
    trainer = Trainer(callbacks=[WatchCallback(every=10, log_every=100)])

    from mlpinit.integrations.huggingface import WatchCallback
    trainer.add_callback(WatchCallback(trainer, every=10, log_every=100))

    from mlpinit.integrations.fastai import WatchCallback
    Learner(dls, model, cbs=WatchCallback(every=10, log_every=100))

Each watches the model while it trains, hands how many units are dead to the trainer's own logger,
writes the report beside the checkpoints as `watch.json` and `watch.txt`, and on request puts dead
units back to work. What they share, and their arguments, is `Monitor`. The callback's `monitor` has
the latest `report`. In a run of many processes every rank has the callback, and the report is that
of all ranks.

A module needs its library only where its callback is made; the package does not install any.
"""

from mlpinit.integrations.monitor import Monitor

__all__ = ["Monitor"]

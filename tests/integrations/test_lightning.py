"""The callback in Lightning's own Trainer, with three of its loggers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import subject
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mlpinit.integrations.lightning import WatchCallback


class Regression(LightningModule):
    def __init__(self, fails_at=None):
        super().__init__()
        self.net, self.fails_at = subject.network(), fails_at

    def training_step(self, batch, index):
        if self.fails_at == index:
            raise KeyboardInterrupt if self.fails_at == 0 else ArithmeticError("lost")
        X, y = batch
        return nn.functional.mse_loss(self.net(X), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def loader():
    X = subject.inputs()
    return DataLoader(TensorDataset(X, subject.targets(X)), batch_size=32)


def trainer(tmp_path, *callbacks, **options):
    options = {"logger": False, "enable_checkpointing": False, **options}
    return Trainer(
        max_epochs=2,
        accelerator="cpu",
        default_root_dir=tmp_path,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lightning")
    model, callback = Regression(), WatchCallback(**subject.OPTIONS)
    checkpoint = ModelCheckpoint(dirpath=folder / "checkpoints")
    with pytest.MonkeyPatch.context() as patch:
        subject.offline(patch, folder)
        loggers = [
            TensorBoardLogger(folder, name="tb"),
            MLFlowLogger(tracking_uri=(folder / "mlruns").as_uri()),
            WandbLogger(save_dir=folder, offline=True),
        ]
        trainer(folder, checkpoint, callback, logger=loggers, enable_checkpointing=True).fit(
            model, loader()
        )
    yield folder, model, callback, loggers
    loggers[2].experiment.finish()


def test_the_dead_unit_is_reported_and_the_model_left_as_it_was(fitted):
    _, model, callback, _ = fitted
    assert callback.monitor.report.dead() == subject.DEAD
    assert callback.monitor.report.watched == subject.STEPS
    subject.check_left_alone(model)


def test_every_logger_has_the_scalars(fitted):
    folder, _, _, loggers = fitted
    steps = [(step, 1.0) for step in (4, 8, 12, 16, 20)]
    for name in ("watch/hard-dead", "watch/1/hard-dead"):
        assert set(subject.tensorboard(folder / "tb", name)) == set(steps)
        assert set(subject.mlflow_metric(folder / "mlruns", name)) == set(steps)
        assert loggers[2].experiment.summary[name] == 1.0
    assert list(folder.rglob("offline-run-*/*.wandb"))


def test_the_report_lies_beside_the_checkpoint(fitted):
    folder, *_ = fitted
    assert list((folder / "checkpoints").glob("*.ckpt"))
    subject.check_files(folder / "checkpoints", subject.STEPS)


def test_recycled_units_come_back(tmp_path):
    model = Regression()
    callback = WatchCallback(**subject.OPTIONS, **subject.recycling())
    trainer(tmp_path, callback).fit(model, loader())
    (step, done), *_ = callback.monitor.recycled
    assert step == 6
    assert done.n_units == 1
    assert set(done.state_reset) >= {"0.weight", "0.bias"}  # the trainer's own Adam
    assert callback.monitor.report["1"].verdicts[5] == "live"
    subject.check_files(tmp_path, subject.STEPS, dead=0)


def test_with_several_parts_the_module_itself_is_watched_or_the_one_named(tmp_path):
    class Two(Regression):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(1, 1)

        def forward(self, X):
            return self.head(self.net(X))

        def training_step(self, batch, index):
            return nn.functional.mse_loss(self(batch[0]), batch[1])

    whole, part = WatchCallback(**subject.OPTIONS), WatchCallback("net", **subject.OPTIONS)
    trainer(tmp_path, whole, part).fit(Two(), loader())
    assert list(whole.monitor.report.sites) == ["net.1", "net.3"]
    assert list(part.monitor.report.sites) == ["1", "3"]
    with pytest.raises(ValueError, match=r"module is 'nets', and Two has none .* 'net', 'head'"):
        trainer(tmp_path, WatchCallback("nets")).fit(Two(), loader())


def test_a_part_that_is_never_called_is_told_once(tmp_path):
    class Idle(Regression):
        def __init__(self):
            super().__init__()
            self.idle = subject.network()

    callback = WatchCallback("idle", **subject.OPTIONS)
    with pytest.warns(UserWarning, match="no forward pass of Sequential") as told:
        trainer(tmp_path, callback).fit(Idle(), loader())
    assert sum("nothing to report" in str(warning.message) for warning in told) == 1


def test_an_error_in_training_leaves_the_model_as_it_was(tmp_path):
    model = Regression(fails_at=3)
    with pytest.raises(ArithmeticError, match="lost"):
        trainer(tmp_path, WatchCallback(**subject.OPTIONS)).fit(model, loader())
    subject.check_left_alone(model)


def test_two_ranks_write_one_report_and_recycle_alike(tmp_path):
    script = Path(__file__).with_name("two_ranks.py")
    root = script.parents[2]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(script.parent), str(root)])}
    command = [sys.executable, "-W", "ignore", str(script), str(tmp_path)]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first == second
    assert first["recycled"] == [6]
    assert first["report"]["ranks"] == 2
    assert first["report"]["sites"]["1"]["recent"]["examples"] >= 200
    assert first["report"]["sites"]["1"]["verdicts"][5] == "live"
    folder = next(tmp_path.rglob("*.ckpt")).parent
    subject.check_files(folder, subject.STEPS, dead=0)

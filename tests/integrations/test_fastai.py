"""The callback in fastai's own Learner."""

import mlflow
import pytest
import subject
import torch
import wandb
from fastai.callback.schedule import Learner  # with lr_find
from fastai.callback.tensorboard import TensorBoardCallback
from fastai.callback.tracker import SaveModelCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.optimizer import OptimWrapper
from torch import nn
from torch.utils.data import TensorDataset

from mlpinit.integrations.fastai import WatchCallback


def learner(folder, *callbacks, **options):
    X = subject.inputs()
    data = TensorDataset(X, subject.targets(X))
    loaders = DataLoaders(DataLoader(data, bs=32), DataLoader(data, bs=32))
    return Learner(
        loaders,
        subject.network(),
        loss_func=nn.MSELoss(),
        cbs=list(callbacks),
        path=str(folder),
        **options,
    )


def test_report_scalars_and_files(tmp_path):
    board = TensorBoardCallback(str(tmp_path / "tb"), trace_model=False, log_preds=False)
    callback = WatchCallback(**subject.OPTIONS)
    learn = learner(tmp_path, board, SaveModelCallback(every_epoch=True), callback)
    with learn.no_bar(), learn.no_logging():
        learn.fit(2)
    assert callback.monitor.report.dead() == subject.DEAD
    assert callback.monitor.report.watched == subject.STEPS
    subject.check_left_alone(learn.model)
    steps = {(step, 1.0) for step in (4, 8, 12, 16, 20)}
    assert {(step, told["watch/1/hard-dead"]) for step, told in callback.scalars} == steps
    assert set(subject.tensorboard(tmp_path / "tb", "watch/1/hard-dead")) == steps
    assert (tmp_path / "models" / "model_1.pth").exists()
    subject.check_files(tmp_path / "models", subject.STEPS)


def test_scalars_go_to_a_function_too_as_mlflow_and_wandb_have_one(tmp_path):
    with wandb.init(dir=str(tmp_path), mode="offline") as run, mlflow.start_run():
        for log in (wandb.log, mlflow.log_metrics):
            learn = learner(tmp_path, WatchCallback(log=log, **subject.OPTIONS))
            with learn.no_bar(), learn.no_logging():
                learn.fit(1)
        assert run.summary["watch/1/hard-dead"] == 1.0
    name = "watch/1/hard-dead"
    assert set(subject.mlflow_metric(tmp_path / "mlruns", name)) == {(4, 1.0), (8, 1.0), (10, 1.0)}


@pytest.mark.parametrize("own", [True, False], ids=["fastai's optimiser", "torch's, wrapped"])
def test_recycled_units_come_back(tmp_path, own):
    options = {} if own else {"opt_func": torchs_adam}
    callback = WatchCallback(**subject.OPTIONS, **subject.recycling())
    learn = learner(tmp_path, callback, **options)
    with learn.no_bar(), learn.no_logging():
        learn.fit(2)
    (step, done), *_ = callback.monitor.recycled
    assert (step, done.n_units) == (6, 1)
    assert set(done.state_reset) >= {"0.weight", "0.bias"}
    assert callback.monitor.report["1"].verdicts[5] == "live"
    subject.check_files(tmp_path / "models", subject.STEPS, dead=0)


def torchs_adam(params, **options):
    return OptimWrapper(params, torch.optim.Adam, **options)


def test_a_search_for_a_rate_is_not_watched(tmp_path):
    callback = WatchCallback(**subject.OPTIONS)
    learn = learner(tmp_path, callback)
    with learn.no_bar(), learn.no_logging():
        learn.lr_find(num_it=10, show_plot=False)
    assert callback.monitor.report is None
    assert callback.scalars == []
    subject.check_left_alone(learn.model)

"""The callback in Hugging Face's own Trainer, with all that `report_to` names."""

from pathlib import Path

import mlflow
import pytest
import subject
import wandb
from torch import nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from mlpinit.integrations.huggingface import WatchCallback


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = subject.network()

    def forward(self, x, labels):
        out = self.net(x)
        return {"loss": nn.functional.mse_loss(out, labels), "logits": out}


class Examples(Dataset):
    def __init__(self):
        self.X = subject.inputs()
        self.y = subject.targets(self.X)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return {"x": self.X[i], "labels": self.y[i]}


def trainer(folder, model, report_to=()):
    args = TrainingArguments(
        output_dir=str(folder / "out"),
        num_train_epochs=2,
        per_device_train_batch_size=32,
        report_to=list(report_to),
        disable_tqdm=True,
        use_cpu=True,
        save_steps=10,
        logging_steps=5,
    )
    return Trainer(model=model, args=args, train_dataset=Examples())


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("huggingface")
    with pytest.MonkeyPatch.context() as patch:
        subject.offline(patch, folder)
        model = Regression()
        own = trainer(folder, model, ["tensorboard", "mlflow", "wandb"])
        callback = WatchCallback(own, **{**subject.OPTIONS, "log_every": 6})
        own.add_callback(callback)
        own.train()
        yield folder, model, callback, own
        wandb.finish()
        mlflow.end_run()


def test_the_dead_unit_is_reported_and_the_model_left_as_it_was(fitted):
    _, model, callback, _ = fitted
    assert callback.monitor.report.dead() == {"net.1": [5]}
    assert callback.monitor.report.watched == subject.STEPS
    subject.check_left_alone(model)


def test_the_trainer_and_every_logger_have_the_scalars(fitted):
    folder, _, _, own = fitted
    steps = {(step, 1.0) for step in (6, 12, 18, 20)}
    name = "watch/net.1/hard-dead"
    logged = {(row["step"], row[name]) for row in own.state.log_history if name in row}
    assert logged == steps
    assert set(subject.tensorboard(folder, f"train/{name}")) == steps
    assert set(subject.mlflow_metric(folder / "mlruns", name)) == steps
    assert wandb.run.summary[f"train/{name}"] == 1.0
    assert list(Path(wandb.run.dir).parent.glob("*.wandb"))


def test_each_checkpoint_has_its_report_and_the_whole_run_too(fitted):
    folder, *_ = fitted
    for step in (10, 20):
        subject.check_files(folder / "out" / f"checkpoint-{step}", step)
    subject.check_files(folder / "out", subject.STEPS)


def test_recycled_units_come_back(tmp_path):
    X = subject.inputs()
    data = [{"x": X[:160]}, {"x": X[160:]}]

    class Plain(Regression):
        def forward(self, x, labels=None):
            out = self.net(x)
            if labels is None:
                return out
            return {"loss": nn.functional.mse_loss(out, labels), "logits": out}

    own = trainer(tmp_path, Plain())
    callback = WatchCallback(own, **subject.OPTIONS, **{**subject.recycling(), "data": data})
    own.add_callback(callback)
    own.train()
    (step, done), *_ = callback.monitor.recycled
    assert (step, done.n_units) == (6, 1)
    assert set(done.state_reset) >= {"net.0.weight", "net.0.bias"}  # the trainer's own AdamW
    assert callback.monitor.report["net.1"].verdicts[5] == "live"
    subject.check_files(tmp_path / "out", subject.STEPS, dead=0)


def test_what_cannot_log_is_no_trainer():
    with pytest.raises(TypeError, match="trainer is Sequential; wanted the Trainer"):
        WatchCallback(subject.network())

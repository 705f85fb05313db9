"""What the trainers' callbacks share; the callbacks themselves run in tests/integrations."""

import importlib
import json

import pytest
import torch
from torch import nn

from mlpinit.integrations import Monitor
from mlpinit.integrations import monitor as shared
from mlpinit.integrations.monitor import missing

OPTIONS = {"every": 1, "window": 300, "enough": 100, "log_every": 4}


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        model[0].bias[5] = -100.0
    return model


def inputs():
    return torch.randn(320, 4, generator=torch.Generator().manual_seed(1))


class Trained:
    """A plain loop, with a monitor told of every step."""

    def __init__(self, steps=20, per_step=1, begin=0, **options):
        self.model, self.logged = network(), []
        self.monitor = Monitor(**{**OPTIONS, **options})
        others = torch.optim.SGD(network().parameters(), lr=0.1)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.monitor.start(self.model, begin)
        X = inputs()
        for step in range(1, steps + 1):
            self.optimizer.zero_grad()
            rows = X[step * 32 % 320 :][:32]
            (self.model(rows) - rows[:, :1]).square().mean().backward()
            self.optimizer.step()
            done = begin + step * per_step
            self.monitor.step(done, self.log, [others, self.optimizer])

    def log(self, scalars, step):
        self.logged.append((step, scalars))


def recycling():
    generator = torch.Generator().manual_seed(2)
    return {"recycle_every": 6, "data": inputs(), "generator": generator}


def test_scalars_are_logged_when_they_are_due():
    trained = Trained()
    assert [step for step, _ in trained.logged] == [4, 8, 12, 16, 20]
    for _, scalars in trained.logged:
        assert scalars["watch/hard-dead"] == scalars["watch/1/hard-dead"] == 1.0
        assert scalars["watch/3/hard-dead"] == 0.0
        assert set(scalars) == set(trained.monitor.report.scalars())
    assert trained.monitor.report.dead() == {"1": [5]}


@pytest.mark.parametrize(
    ("begin", "per_step", "log_every", "due"), [(0, 3, 4, [6, 9, 12]), (7, 1, 3, [9])]
)
def test_a_step_may_be_several_and_training_may_go_on(begin, per_step, log_every, due):
    trained = Trained(4, per_step, begin, log_every=log_every, prefix="units")
    assert [step for step, _ in trained.logged] == due
    assert "units/hard-dead" in trained.logged[0][1]


def test_a_step_that_is_told_twice_is_logged_once():
    trained = Trained(4)
    trained.monitor.step(4, trained.log)
    trained.monitor.log(trained.log)
    assert [step for step, _ in trained.logged] == [4]


def test_files_are_written_whole_in_place_of_the_last(tmp_path):
    trained = Trained()
    folder = tmp_path / "new" / "folder"
    folder.mkdir(parents=True)
    (folder / "watch.json").write_text("of an earlier run")
    trained.monitor.write(folder)
    told = json.loads((folder / "watch.json").read_text(encoding="utf-8"))
    assert (told["step"], told["counts"]["hard-dead"], told["ranks"]) == (20, 1, 1)
    assert (folder / "watch.txt").read_text(encoding="utf-8").startswith("Step 20\n2 sites, 24")
    assert sorted(path.name for path in folder.iterdir()) == ["watch.json", "watch.txt"]


def test_the_model_is_left_as_it_was_and_then_nothing_is_written(tmp_path):
    trained = Trained()
    assert "forward" in trained.model.__dict__
    trained.monitor.stop()
    trained.monitor.stop()
    assert "forward" not in trained.model.__dict__
    trained.monitor.write(tmp_path)
    trained.monitor.step(24, trained.log)
    assert list(tmp_path.iterdir()) == []
    assert trained.logged[-1][0] == 20
    trained.monitor.start(trained.model)
    trained.monitor.start(trained.model)  # of a run that an error ended
    trained.monitor.stop()
    assert "forward" not in trained.model.__dict__


def test_dead_units_are_recycled_with_the_optimiser_that_trains_them():
    trained = Trained(**recycling())
    (step, done), *later = trained.monitor.recycled
    assert (step, later) == (6, [])
    assert [(site.name, site.units) for site in done.sites] == [("1", (5,))]
    assert "exp_avg" in done.state_reset["0.weight"]
    assert trained.monitor.report["1"].verdicts[5] == "live"
    assert [scalars["watch/recycled"] for _, scalars in trained.logged] == [0, 1, 1, 1, 1]


def test_ranks_recycle_what_the_first_says_and_are_left_with_its_weights(monkeypatch):
    equal = []
    monkeypatch.setattr(shared.ranks, "from_first", lambda dead: {"1": [*dead["1"], 9]})
    monkeypatch.setattr(shared.ranks, "make_equal", equal.extend)
    with pytest.raises(ValueError, match="not constant"):  # unit 9 lives: it was asked for
        Trained(**recycling())
    monkeypatch.setattr(shared.ranks, "from_first", lambda dead: dead)
    trained = Trained(**recycling())
    assert {id(p) for p in trained.model.parameters()} <= {id(t) for t in equal}


def test_without_an_optimiser_of_its_own_only_the_model_is_recycled():
    monitor = Monitor(**OPTIONS, **recycling())
    model = network()
    monitor.start(model)
    model(inputs())
    monitor.step(6, lambda *_: None, [torch.optim.SGD(network().parameters(), lr=0.1)])
    (step, done), *_ = monitor.recycled
    assert (step, done.state_reset) == (6, {})


def run_empty(monitor):
    """Steps of an optimiser without a forward pass of the model."""
    for step in (4, 8):
        monitor.step(step, pytest.fail)


def test_what_sees_nothing_says_so_once():
    monitor = Monitor(**OPTIONS)
    monitor.start(network())
    with pytest.warns(UserWarning, match="nothing to report at step 4: no forward pass") as told:
        run_empty(monitor)
    assert len(told) == 1
    assert monitor.report is None


class FSDPSequential(nn.Sequential):
    """By its name a module whose parameters are sharded."""


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"log_every": 0}, "log_every is 0; wanted a whole number from 1 up"),
        ({**recycling(), "recycle_every": 1.5}, "recycle_every is 1.5"),
        ({"recycle_every": 10}, "recycle_every needs data"),
        ({"every": 0}, "every is 0"),
        ({"phase": "test"}, "phase is 'test'"),
    ],
)
def test_what_cannot_be_used_is_refused_before_training(options, wanted):
    with pytest.raises(ValueError, match=wanted):
        Monitor(**options)


def test_sharded_weights_are_not_recycled():
    with pytest.raises(ValueError, match="sharded over the ranks"):
        Monitor(**OPTIONS, **recycling()).start(FSDPSequential(nn.Linear(4, 2), nn.ReLU()))
    monitor = Monitor(**OPTIONS)
    monitor.start(FSDPSequential(nn.Linear(4, 2), nn.ReLU()))
    monitor.stop()


def test_a_library_that_is_not_there_is_named_when_a_callback_is_made():
    class Callback(missing("Trainers", "trainers")):
        def __init__(self):
            super().__init__()

    with pytest.raises(ImportError, match="for Trainers, which is not installed; pip install tra"):
        Callback()


@pytest.mark.parametrize(
    ("module", "library"),
    [("lightning", "Lightning"), ("huggingface", "Hugging Face's Trainer"), ("fastai", "fastai")],
)
def test_a_module_can_be_imported_without_its_library(module, library):
    callback = importlib.import_module(f"mlpinit.integrations.{module}").WatchCallback
    if callback.__mro__[1].__name__ != "Missing":
        pytest.skip(f"{library} is installed")
    with pytest.raises(ImportError, match=f"{library}, which is not installed"):
        callback(*[network()] if module == "huggingface" else ())

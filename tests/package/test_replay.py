"""Trainings whose end is recorded: what is returned, what is compared, what is refused."""

import json

import pytest
import torch

from mlpinit import corpus, init, mlp, redraw, replay, train
from mlpinit.records import RecordError

STEPS = 1000


@pytest.fixture(scope="module")
def splits():
    return corpus.split(corpus.load())


def two():
    """Two networks, each with its generator."""
    gs = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    return init.stack([init.draw(mlp.Architecture(), init.kaiming(), generator=g) for g in gs]), gs


def finished(splits, **options):
    """The run of the two, to its end."""
    networks, gs = two()
    how = {"steps": STEPS, "generator": gs, "lr": 0.1} | options
    return train.sgd(networks, splits.train, **how)


@pytest.fixture
def end_loss(splits, tmp_path, monkeypatch):
    """`replay.end_loss` of the two, with records of its own: first made, then read."""

    def ended(full="", *, steps=STEPS, lr=0.1, params=None, **options):
        monkeypatch.setenv("MLPINIT_FULL", full)
        networks, gs = two()
        return replay.end_loss(
            "two",
            networks if params is None else params,
            splits.train,
            splits.dev,
            steps=steps,
            generator=gs[: len(networks.C) if params is None else len(params.C)],
            lr=lr,
            folder=tmp_path,
            **options,
        )

    return ended


def edit(folder, **changes):
    path = folder / "two.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_end_that_is_returned_is_that_of_training(end_loss, splits):
    made = end_loss("record")
    run = finished(splits)
    torch.testing.assert_close(made, train.evaluate(run.params, splits.dev), atol=1e-6, rtol=0)
    assert torch.equal(end_loss(), made)
    assert torch.equal(end_loss("1"), made)


def test_the_learning_rate_falls_at_half_of_all_steps(end_loss, splits):
    made = end_loss("record", lr=None)
    run = finished(splits, lr=None)
    torch.testing.assert_close(made, train.evaluate(run.params, splits.dev), atol=1e-6, rtol=0)
    assert torch.equal(end_loss(lr=None), made), "0.1 throughout the first twentieth"


def test_a_twentieth_is_trained_where_not_all_is_asked_for(end_loss, tmp_path, monkeypatch):
    end_loss("record")
    trained = []
    sgd = train.sgd
    monkeypatch.setattr(train, "sgd", lambda *a, **k: trained.append(k["steps"]) or sgd(*a, **k))
    end_loss()
    end_loss("1")
    assert trained == [STEPS // 20, STEPS]


def test_a_record_whose_first_part_is_another_is_refused(end_loss, tmp_path):
    end_loss("record")
    means = json.loads((tmp_path / "two.json").read_text())["means"]
    later = [[*row[:10], row[10] + 0.1, *row[11:]] for row in means]
    edit(tmp_path, means=later)
    end_loss()  # the eleventh hundredth is beyond the first twentieth
    with pytest.raises(RecordError, match=r"two.json is not what today's code makes: .* 1.0e-01"):
        end_loss("1")
    edit(tmp_path, means=[[row[0] + 0.01, *row[1:]] for row in means])
    with pytest.raises(RecordError, match="FULL=record"):
        end_loss()


def test_how_far_apart_a_record_may_be_is_the_caller_s_to_say(end_loss, tmp_path):
    losses = end_loss("record").tolist()
    means = json.loads((tmp_path / "two.json").read_text())["means"]
    means = [[x + 0.01 for x in row] for row in means]
    edit(tmp_path, means=means, measured={"loss": [losses[0] + 0.01, 0.0]})
    assert end_loss(tolerance=0.02)[1] == 0
    with pytest.raises(RecordError, match=r"a mean loss differs by 1.0e-02"):
        end_loss(tolerance=0.009)
    with pytest.raises(RecordError, match=r"'loss' differs by [1-9]\.\de\+00"):
        end_loss("1", tolerance=0.02)


def test_a_record_whose_end_is_another_is_found_by_a_whole_replay(end_loss, tmp_path):
    losses = end_loss("record").tolist()
    edit(tmp_path, measured={"loss": [losses[0], losses[1] + 0.01]})
    assert end_loss()[1] == pytest.approx(losses[1] + 0.01)
    with pytest.raises(RecordError, match=r"differs by 1.0e-02"):
        end_loss("1")


def test_another_training_under_the_name_is_refused(end_loss, tmp_path):
    with pytest.raises(RecordError, match=r"two.json cannot be read.*FULL=record"):
        end_loss()
    end_loss("record")
    with pytest.raises(RecordError, match=r"of steps 1000, lr 0.1, .*, not of steps 1000, lr 0.2"):
        end_loss(lr=0.2)
    with pytest.raises(RecordError, match=r"of 2 networks, not of 1"):
        end_loss(params=init.stack([two()[0].run(0)]))


def measure(run):
    """Of each kind, something: numbers, a mask, a count."""
    large = run.params.W[1].abs() > 0.1
    return {
        "rms": run.params.W[1].square().mean((1, 2)).sqrt(),
        "large": large[:, :2, :2],
        "count": large.sum((1, 2)),
        "kept": torch.tensor(sorted(run.snapshots)),
    }


@pytest.fixture
def ended(splits, tmp_path, monkeypatch):
    """`replay.ended` of the two, as `end_loss` here."""

    def call(full="", *, measure=measure, **options):
        monkeypatch.setenv("MLPINIT_FULL", full)
        networks, gs = two()
        how = {"steps": STEPS, "lr": 0.1, "snapshots": [0, 50, 51, STEPS]} | options
        how |= {"generator": gs, "measure": measure, "folder": tmp_path}
        return replay.ended("two", networks, splits.train, **how)

    return call


def test_what_is_measured_of_the_finished_run_comes_from_the_record(ended, splits):
    expected = measure(finished(splits, snapshots=[0, 50, 51, STEPS]))
    for got in (ended("record"), ended(), ended("1")):
        assert got.measured.keys() == expected.keys()
        torch.testing.assert_close(got["rms"], expected["rms"].double(), atol=1e-6, rtol=0)
        assert torch.equal(got["large"], expected["large"].long())
        assert torch.equal(got["count"], expected["count"])
        assert got["kept"].tolist() == [0, 50, 51, STEPS]


def test_the_first_part_is_live_and_the_means_of_the_rest_recorded(ended, splits):
    whole = finished(splits)
    blocks = whole.losses.double().view(2, 100, -1).mean(-1)
    for full, steps, looks in (("record", STEPS, 4), ("", STEPS // 20, 2), ("1", STEPS, 4)):
        got = ended(full)
        assert torch.equal(got.run.losses, whole.losses[:, :steps])
        assert list(got.run.snapshots) == [0, 50, 51, STEPS][:looks]
        torch.testing.assert_close(got.means, blocks, atol=6e-6, rtol=0)


def test_batch_size_and_frozen_tensors_reach_training_and_belong_to_the_record(ended, splits):
    options = {"batch_size": 4, "frozen": ("b[0]", "C")}
    got = ended("record", **options)
    assert torch.equal(got.run.losses, finished(splits, **options).losses)
    ended(batch_size=4, frozen=("C", "b[0]"))
    with pytest.raises(RecordError, match=r"batch_size 4, .*, not of .*batch_size 32"):
        ended(frozen=("C", "b[0]"))
    with pytest.raises(RecordError, match=r"frozen \['C', 'b\[0\]'\], not of .*frozen \['C'\]"):
        ended(batch_size=4, frozen=("C",))


@pytest.mark.parametrize(
    ("name", "moved", "allowed"), [("rms", 2e-4, 3e-4), ("count", 1, 1), ("large", 1, 1)]
)
def test_what_is_measured_is_compared_by_a_whole_replay(ended, tmp_path, name, moved, allowed):
    measured = ended("record").measured
    other = measured | {name: measured[name] - moved}
    edit(tmp_path, measured={n: t.tolist() for n, t in other.items()})
    assert torch.equal(ended()[name], other[name])
    with pytest.raises(RecordError, match=rf"two.json is not .*: '{name}' differs by"):
        ended("1")
    assert torch.equal(ended("1", apart={name: allowed})[name], other[name])
    with pytest.raises(RecordError, match=f"'{name}' differs by"):
        ended("1", apart={name: 0.9 * moved})


def test_a_count_must_agree_whatever_a_mean_loss_may_differ_by(ended, tmp_path):
    measured = ended("record").measured
    other = measured | {"count": measured["count"] + 1}
    edit(tmp_path, measured={n: t.tolist() for n, t in other.items()})
    with pytest.raises(RecordError, match=r"'count' differs by 1.0e\+00"):
        ended("1", tolerance=2.0)


def test_other_measurements_than_the_record_s_are_refused(ended):
    ended("record")
    with pytest.raises(RecordError, match=r"two.json has no 'dev', only rms, large.*FULL=record"):
        ended()["dev"]
    with pytest.raises(RecordError, match=r"it has rms, .*, and what is measured is loss"):
        ended("1", measure=lambda run: {"loss": run.losses[:, -1]})
    with pytest.raises(RecordError, match=r"'rms' has the shape \(2,\), not \(1,\)"):
        ended("1", measure=lambda run: measure(run) | {"rms": measure(run)["rms"][:1]})


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """`replay.kept` of three numbers and their sum, and which of its parts were made."""

    def call(full="", numbers=(1.0, 2.0, 3.0), *, n=3, **options):
        monkeypatch.setenv("MLPINIT_FULL", full)
        made = []

        def part():
            made.append("part")
            return {"first": torch.tensor(numbers[:1])}

        def whole():
            made.append("whole")
            return {"sum": torch.tensor([sum(numbers)]), "n": torch.tensor(len(numbers))}

        how = {"settings": {"n": n}, "part": part, "whole": whole, "folder": tmp_path} | options
        return replay.kept("sum", **how), made

    return call


def test_of_an_experiment_a_part_is_made_and_the_rest_is_recorded(kept):
    for full, parts in (("record", ["part", "whole"]), ("", ["part"]), ("1", ["part", "whole"])):
        found, made = kept(full)
        assert made == parts
        assert {name: t.tolist() for name, t in found.items()} == {"sum": [6.0], "n": 3}


def test_an_experiment_s_part_and_whole_are_compared_each_where_it_is_made(kept):
    kept("record")
    kept("", (1.0, 2.0, 5.0))  # its end is not looked at
    with pytest.raises(RecordError, match=r"sum.json is not .*'sum' differs by 2.0e\+00"):
        kept("1", (1.0, 2.0, 5.0))
    with pytest.raises(RecordError, match=r"'first' differs by 1.0e\+00"):
        kept("", (2.0, 2.0, 2.0))
    kept("1", (1.1, 2.0, 3.0), tolerance=0.2)
    kept("1", (1.1, 2.0, 3.0), apart={"first": 0.2, "sum": 0.2})


def test_an_experiment_from_other_draws_is_made_whole_and_kept_nowhere(kept):
    kept("record")
    with redraw.redrawn(1):
        found, made = kept("", (1.0, 2.0, 5.0))
    assert made == ["whole"]
    assert found["sum"].tolist() == [8.0]
    assert kept()[0]["sum"].tolist() == [6.0]


def test_another_experiment_under_the_name_is_refused(kept, tmp_path):
    with pytest.raises(RecordError, match=r"sum.json cannot be read.*FULL=record"):
        kept()
    kept("record")
    with pytest.raises(RecordError, match=r"sum.json is of n 3, not of n 4"):
        kept(n=4)
    (tmp_path / "sum.json").write_text("{}")
    with pytest.raises(RecordError, match=r"cannot be read: 'settings'"):
        kept()


def test_the_book_s_records_are_light():
    paths = sorted(replay.FOLDER.glob("*.json"))
    assert paths
    assert sum(path.stat().st_size for path in paths) < 150_000


def test_from_other_draws_all_is_trained_and_nothing_compared_or_kept(end_loss, splits, tmp_path):
    published = end_loss("record")
    with redraw.redrawn(1):
        moved = end_loss()
        expected = train.evaluate(finished(splits).params, splits.dev)
    assert torch.allclose(moved, expected.double(), atol=1e-6)
    assert (moved - published).abs().min() > 1e-4
    assert torch.equal(end_loss(), published), "the record is as it was"

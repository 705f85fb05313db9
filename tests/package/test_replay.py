"""Trainings whose end is recorded: what is returned, what is compared, what is refused."""

import json

import pytest
import torch

from mlpinit import corpus, init, mlp, replay, train
from mlpinit.records import RecordError

STEPS = 1000


@pytest.fixture(scope="module")
def splits():
    return corpus.split(corpus.load())


def two():
    """Two networks, each with its generator."""
    gs = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    return init.stack([init.draw(mlp.Architecture(), init.kaiming(), generator=g) for g in gs]), gs


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
    networks, gs = two()
    run = train.sgd(networks, splits.train, steps=STEPS, generator=gs, lr=0.1)
    torch.testing.assert_close(made, train.evaluate(run.params, splits.dev), atol=1e-6, rtol=0)
    assert torch.equal(end_loss(), made)
    assert torch.equal(end_loss("1"), made)


def test_the_learning_rate_falls_at_half_of_all_steps(end_loss, splits):
    made = end_loss("record", lr=None)
    networks, gs = two()
    run = train.sgd(networks, splits.train, steps=STEPS, generator=gs)
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
    edit(tmp_path, means=[[x + 0.01 for x in row] for row in means], losses=[losses[0] + 0.01, 0])
    assert end_loss(tolerance=0.02)[1] == 0
    with pytest.raises(RecordError, match=r"a mean loss differs by 1.0e-02"):
        end_loss(tolerance=0.009)
    with pytest.raises(RecordError, match=r"a mean loss differs by [1-9]\.\de\+00"):
        end_loss("1", tolerance=0.02)


def test_a_record_whose_end_is_another_is_found_by_a_whole_replay(end_loss, tmp_path):
    losses = end_loss("record").tolist()
    edit(tmp_path, losses=[losses[0], losses[1] + 0.01])
    assert end_loss()[1] == pytest.approx(losses[1] + 0.01)
    with pytest.raises(RecordError, match=r"differs by 1.0e-02"):
        end_loss("1")


def test_another_training_under_the_name_is_refused(end_loss, tmp_path):
    with pytest.raises(RecordError, match=r"two.json cannot be read.*FULL=record"):
        end_loss()
    end_loss("record")
    with pytest.raises(RecordError, match=r"of 1000 steps at 0.1, not of 1000 steps at 0.2"):
        end_loss(lr=0.2)
    with pytest.raises(RecordError, match=r"of 2 networks, not of 1"):
        end_loss(params=init.stack([two()[0].run(0)]))


def test_the_book_s_records_are_light():
    paths = sorted(replay.FOLDER.glob("*.json"))
    assert paths
    assert sum(path.stat().st_size for path in paths) < 100_000

import math
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from mlpinit import corpus, init, mlp, progress, saturation, train
from mlpinit.params import Architecture, stack

SEED = 2147483647
SMALL = Architecture(hidden=(16,))


@pytest.fixture(scope="module")
def splits():
    return corpus.split(corpus.load())


def start(seed=SEED, arch=None, scheme=init.QUIET_OUTPUT):
    g = torch.Generator().manual_seed(seed)
    return init.draw(arch or Architecture(), scheme, generator=g), g


def article_loop(data, scheme, steps, *, halfway):
    """The article's training loop: plain autograd, one network, nothing of this package's."""
    g = torch.Generator().manual_seed(SEED)
    w, b = scheme
    C = torch.randn((27, 10), generator=g)
    W1 = torch.randn((30, 200), generator=g) * w
    b1 = torch.randn(200, generator=g) * b
    W2 = torch.randn((200, 27), generator=g) * 0.01
    b2 = torch.randn(27, generator=g) * 0
    parameters = [C, W1, b1, W2, b2]
    for p in parameters:
        p.requires_grad = True
    losses = []
    for i in range(steps):
        ix = torch.randint(0, len(data), (32,), generator=g)
        h = torch.tanh(C[data.X[ix]].view(32, -1) @ W1 + b1)
        loss = F.cross_entropy(h @ W2 + b2, data.Y[ix])
        for p in parameters:
            p.grad = None
        loss.backward()
        for p in parameters:
            p.data += -(0.1 if i < halfway else 0.01) * p.grad
        losses.append(loss.item())
    return losses, parameters


@pytest.mark.parametrize(
    ("scheme", "ours"), [((1, 1), init.QUIET_OUTPUT), ((0.2, 0.01), init.scaled(0.2, 0.01))]
)
def test_sgd_is_the_article_s_loop_step_for_step(splits, scheme, ours):
    steps = 500  # more than one block, and the learning rate falls within one
    losses, parameters = article_loop(splits.train, scheme, steps, halfway=250)
    params, g = start(scheme=ours)
    run = train.sgd(params, splits.train, steps=steps, generator=g)
    torch.testing.assert_close(run.losses, torch.tensor(losses), rtol=0, atol=2e-4)
    for got, want in zip(run.params.tensors(), parameters, strict=True):
        torch.testing.assert_close(got, want.detach(), rtol=0, atol=2e-4)


@pytest.mark.parametrize(
    ("scheme", "want_train", "want_dev"),
    [(init.QUIET_OUTPUT, 2.1832, 2.2065), (init.scaled(0.2, 0.01), 2.1621, 2.1793)],
)
def test_the_published_start_and_20_000_steps_on_the_makemore_names(
    names_corpus, scheme, want_train, want_dev
):
    splits = corpus.split(names_corpus)
    params, g = start(scheme=scheme)
    if scheme is init.QUIET_OUTPUT:
        ix = torch.randint(0, len(splits.train), (32,), generator=g.clone_state())
        record = mlp.forward(params, splits.train.X[ix])
        first = mlp.loss(record.logits, splits.train.Y[ix]).item()
        assert first == pytest.approx(3.3221, abs=5e-5)
        white = (record.activations[0].abs() > 0.99).float().mean().item()
        assert white == pytest.approx(0.6095, abs=5e-5)
    run = train.sgd(params, splits.train, steps=20_000, generator=g)
    assert train.evaluate(run.params, splits.train).item() == pytest.approx(want_train, abs=0.002)
    assert train.evaluate(run.params, splits.dev).item() == pytest.approx(want_dev, abs=0.002)


@pytest.mark.parametrize("hidden", [(), (16,), (12, 9)])
def test_k_at_once_are_k_alone(splits, hidden):
    arch = Architecture(hidden=hidden)
    alone = []
    for seed in range(3):
        params, g = start(seed, arch)
        alone.append(train.sgd(params, splits.train, steps=230, generator=g, lr=0.3))
    starts = [start(seed, arch) for seed in range(3)]
    together = train.sgd(
        stack([p for p, _ in starts]),
        splits.train,
        steps=230,
        generator=[g for _, g in starts],
        lr=0.3,
    )
    assert together.losses.shape == (3, 230)
    for k, run in enumerate(alone):
        torch.testing.assert_close(together.losses[k], run.losses, rtol=0, atol=1e-4)
        pairs = zip(together.params.run(k).tensors(), run.params.tensors(), strict=True)
        for a, b in pairs:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


def test_the_loss_falls_and_the_given_parameters_stay(splits):
    params, g = start(arch=SMALL)
    before = params.clone()
    run = train.sgd(params, splits.train, steps=2000, generator=g)
    assert run.losses[-200:].mean() < run.losses[:200].mean() - 0.2
    for a, b in zip(params.tensors(), before.tensors(), strict=True):
        assert torch.equal(a, b)


def test_what_training_returns_can_be_trained_with_autograd(splits):
    params, g = start(arch=SMALL)
    run = train.sgd(params, splits.train, steps=3, generator=g, snapshots=[1])
    for p in (run.params, run.snapshots[1]):
        leaf = p.W[0].requires_grad_()
        (leaf * 2).sum().backward()
        assert leaf.grad is not None


def test_snapshots_are_the_parameters_before_their_step(splits):
    params, g = start(arch=SMALL)
    run = train.sgd(
        params, splits.train, steps=300, generator=g, snapshots=(0, 1, 250, 300), lr=0.1
    )
    assert set(run.snapshots) == {0, 1, 250, 300}
    assert torch.equal(run.snapshots[0].W[0], params.W[0])
    assert torch.equal(run.snapshots[300].W[0], run.params.W[0])
    params, g = start(arch=SMALL)
    shorter = train.sgd(params, splits.train, steps=250, generator=g, lr=0.1)
    assert torch.equal(run.snapshots[250].W[0], shorter.params.W[0])


def test_frozen_tensors_stay_and_the_others_move(splits):
    params, g = start(arch=SMALL)
    run = train.sgd(params, splits.train, steps=5, generator=g, frozen=("C", "b[0]"))
    for name, a, b in zip(params.names(), params.tensors(), run.params.tensors(), strict=True):
        assert torch.equal(a, b) == (name in ("C", "b[0]"))


def test_the_learning_rate_may_be_a_number_or_a_function(splits):
    runs = []
    for lr in (0.05, lambda step: 0.05):
        params, g = start(arch=SMALL)
        runs.append(train.sgd(params, splits.train, steps=10, generator=g, lr=lr))
    assert torch.equal(runs[0].losses, runs[1].losses)
    params, g = start(arch=SMALL)
    still = train.sgd(params, splits.train, steps=10, generator=g, lr=0.0)
    assert torch.equal(still.params.W[0], params.W[0])


def test_no_steps_leave_the_start(splits):
    params, g = start(arch=SMALL)
    run = train.sgd(params, splits.train, steps=0, generator=g, snapshots=[0])
    assert run.losses.shape == (0,)
    assert torch.equal(run.params.W[0], params.W[0])
    assert set(run.snapshots) == {0}


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(splits):
    params, g = start(arch=SMALL)
    params.W[1][0, 0] = math.nan
    with pytest.raises(train.TrainingDivergedError, match=r"the loss is nan at step 0; try"):
        train.sgd(params, splits.train, steps=10, generator=g)


def test_the_step_named_is_the_first_that_failed(splits):
    params, g = start(arch=SMALL)

    def shock(step):
        return math.inf if step == 236 else 0.1

    with pytest.raises(train.TrainingDivergedError, match="at step 237;"):
        train.sgd(params, splits.train, steps=400, generator=g, lr=shock)


def test_the_run_that_failed_is_named(splits):
    starts = [start(seed, SMALL) for seed in range(3)]
    starts[2][0].W[1][0, 0] = math.nan
    with pytest.raises(train.TrainingDivergedError, match="at step 0 of run 2"):
        train.sgd(
            stack([p for p, _ in starts]), splits.train, steps=5, generator=[g for _, g in starts]
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": -1}, "steps is -1; wanted a whole number, 0 or more"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"batch_size": 0}, "batch_size is 0; wanted a whole number, 1 or more"),
        ({"snapshots": [0, 11]}, r"snapshots at \[11\] are outside the run; wanted 0 to 10"),
        ({"frozen": ["W1"]}, r"no tensors named \['W1'\] to freeze; there are C, W\[0\]"),
        ({"generator": []}, "0 generators for 1 networks"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_work(splits, change, message):
    params, g = start(arch=SMALL)
    with pytest.raises(ValueError, match=message):
        train.sgd(params, splits.train, **{"steps": 10, "generator": g} | change)


def test_k_networks_take_k_different_generators(splits):
    starts = [start(seed, SMALL) for seed in range(2)]
    together, g = stack([p for p, _ in starts]), starts[0][1]
    for generators in (g, [g, g]):
        with pytest.raises(ValueError, match="for 2 networks; pass one each, none of them twice"):
            train.sgd(together, splits.train, steps=1, generator=generators)


def test_contexts_of_another_form_are_refused(splits):
    params, g = start(arch=SMALL)
    few = corpus.Contexts(splits.train.X[:4], splits.train.Y[:3])
    with pytest.raises(ValueError, match=r"X \(4, 3\) and Y \(3,\); wanted X \(n, block_size\)"):
        train.sgd(params, few, steps=1, generator=g)


def test_evaluate_is_the_loss_over_everything(splits):
    params, _ = start(arch=SMALL)
    whole = mlp.loss(mlp.forward(params, splits.dev.X).logits, splits.dev.Y)
    assert len(splits.dev) > train.CHUNK
    assert train.evaluate(params, splits.dev).item() == pytest.approx(whole.item(), abs=1e-6)
    both = stack([params, params])
    torch.testing.assert_close(train.evaluate(both, splits.dev), whole.double().expand(2))


def test_evaluate_refuses_an_empty_split(splits):
    params, _ = start(arch=SMALL)
    empty = corpus.Contexts(splits.dev.X[:0], splits.dev.Y[:0])
    with pytest.raises(ValueError, match="no contexts to evaluate on"):
        train.evaluate(params, empty)


@pytest.mark.parametrize(("wanted", "shown"), [(True, True), (False, False), (None, False)])
def test_the_bar_is_shown_when_asked_for_and_never_in_a_pipe(splits, capsys, wanted, shown):
    params, g = start(arch=SMALL)
    train.sgd(params, splits.train, steps=3, generator=g, progress=wanted)
    assert ("3/3" in capsys.readouterr().err) == shown


def test_a_notebook_shows_the_bar_and_a_build_does_not(monkeypatch):
    kernel = SimpleNamespace(kernel=None)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    assert progress.bar(None) == {"disable": True}, "imported, but this is no kernel"
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: kernel))
    assert progress.bar(None) == {"disable": False}
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert progress.bar(None) == {"disable": True}


def test_a_stack_of_one_is_evaluated_as_its_network(splits):
    params, _ = start(arch=SMALL)
    alone = train.evaluate(params, splits.dev)
    torch.testing.assert_close(train.evaluate(stack([params]), splits.dev), alone[None])


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_training_runs_on_one_thread_and_gives_the_others_back(splits, two_threads):
    seen = []

    def lr(step):
        seen.append(torch.get_num_threads())
        return math.nan if step == 2 else 0.1

    params, g = start(arch=SMALL)
    train.sgd(params, splits.train, steps=2, generator=g, lr=lr)
    assert torch.get_num_threads() == 2
    with pytest.raises(train.TrainingDivergedError):
        train.sgd(params, splits.train, steps=4, generator=g, lr=lr)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("module", [train, saturation])
def test_what_runs_over_a_data_set_does_so_on_one_thread(splits, two_threads, monkeypatch, module):
    seen = []

    def distinct(contexts):
        seen.append(torch.get_num_threads())
        return corpus.distinct(contexts)

    monkeypatch.setattr(module, "distinct", distinct)
    if module is train:
        train.evaluate(start(arch=SMALL)[0], splits.dev)
        normalised = start(arch=Architecture(hidden=(16,), normalize="batch"))[0]
        train.calibrate(normalised, splits.dev)
    else:
        saturation.census(start(arch=SMALL)[0], splits.dev)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2


def test_how_many_batches_are_prepared_at_a_time_changes_nothing(splits, monkeypatch):
    runs = []
    for entries in (train.ONE_HOT, 1):  # a block of 200 steps, and one of a single step
        monkeypatch.setattr(train, "ONE_HOT", entries)
        params, g = start(arch=SMALL)
        runs.append(train.sgd(params, splits.train, steps=30, generator=g))
    assert torch.equal(runs[0].losses, runs[1].losses)


def test_every_target_of_a_context_is_evaluated():
    params, _ = start(arch=SMALL)
    X = torch.tensor([[1, 2, 3], [4, 5, 6], [1, 2, 3], [1, 2, 3], [0, 0, 0]])
    few = corpus.Contexts(X, torch.tensor([4, 0, 5, 4, 26]))
    whole = mlp.loss(mlp.forward(params, X).logits, few.Y)
    assert train.evaluate(params, few).item() == pytest.approx(whole.item(), abs=1e-6)


def test_what_training_returns_lies_in_rows(splits):
    params, g = start(arch=SMALL)
    run = train.sgd(params, splits.train, steps=1, generator=g, snapshots=[0])
    for p in (run.params, run.snapshots[0]):
        assert all(t.is_contiguous() for t in p.tensors())

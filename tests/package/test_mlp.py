import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpinit import init, mlp
from mlpinit.activations import ACTIVATIONS
from mlpinit.affine import lies_turned
from mlpinit.params import Architecture, stack

TORCH = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
}


def network(arch, seed=0):
    g = torch.Generator().manual_seed(seed)
    # Output layer unscaled: a gradient that is nearly nothing would pass any test.
    scheme = init.Scheme("test", lambda fan_in, fan_out: 1.6 * fan_in**-0.5, 0.3, 0.4, 0.2)
    return init.draw(arch, scheme, generator=g, dtype=torch.float64)


def batch(arch, n=9, seed=1, lead=()):
    g = torch.Generator().manual_seed(seed)
    X = torch.randint(0, arch.vocab_size, (*lead, n, arch.block_size), generator=g)
    return X, torch.randint(0, arch.vocab_size, (*lead, n), generator=g)


def independent_loss(arch, tensors, X, Y):
    """The same network in torch's own functions, for autograd."""
    C, *layers = tensors
    x = F.embedding(X, C).flatten(-2)
    *hidden, (W, b) = zip(layers[::2], layers[1::2], strict=True)
    for V, c in hidden:
        x = TORCH[arch.activation](F.linear(x, V.T, c))
    return F.cross_entropy(F.linear(x, W.T, b), Y)


def autograd(arch, params, X, Y):
    leaves = [t.clone().requires_grad_() for t in params.tensors()]
    loss = independent_loss(arch, leaves, X, Y)
    return loss, torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", range(7))
def test_the_gradient_is_autograd_s(activation, depth):
    arch = Architecture(
        vocab_size=6, n_embd=4, hidden=(7, 5, 8, 6, 9, 4)[:depth], activation=activation
    )
    params, (X, Y) = network(arch), batch(arch)
    record = mlp.forward(params, X)
    got = mlp.backward(params, record, Y)
    want_loss, want = autograd(arch, params, X, Y)
    torch.testing.assert_close(mlp.loss(record.logits, Y), want_loss, rtol=0, atol=1e-12)
    for name, a, b in zip(params.names(), got.tensors(), want, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() < 1e-10, name
        assert b.abs().max() > 1e-5, f"{name} has no gradient to compare"


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", range(7))
def test_the_gradient_is_a_central_difference(activation, depth):
    arch = Architecture(
        vocab_size=5,
        block_size=2,
        n_embd=3,
        hidden=(4, 3, 5, 4, 3, 4)[:depth],
        activation=activation,
    )
    params, (X, Y) = network(arch), batch(arch)
    got = mlp.backward(params, mlp.forward(params, X), Y)
    eps = 1e-6
    for name, t, grad in zip(params.names(), params.tensors(), got.tensors(), strict=True):
        for i in {0, t.numel() // 2, t.numel() - 1}:
            sides = []
            for sign in (1, -1):
                t.view(-1)[i] += sign * eps
                sides.append(mlp.loss(mlp.forward(params, X).logits, Y).item())
                t.view(-1)[i] -= sign * eps
            difference = (sides[0] - sides[1]) / (2 * eps)
            assert grad.view(-1)[i].item() == pytest.approx(difference, abs=2e-9), f"{name}[{i}]"


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", range(7))
@pytest.mark.parametrize("own_batches", [True, False])
def test_k_runs_are_k_networks(activation, depth, own_batches):
    arch = Architecture(
        vocab_size=6, n_embd=4, hidden=(7, 5, 8, 6, 9, 4)[:depth], activation=activation
    )
    networks = [network(arch, seed) for seed in range(3)]
    X, Y = batch(arch, lead=(3,) if own_batches else ())
    together = stack(networks)
    record = mlp.forward(together, X)
    loss, gradients = mlp.loss(record.logits, Y), mlp.backward(together, record, Y)
    assert loss.shape == (3,)
    for k, alone in enumerate(networks):
        x, y = (X[k], Y[k]) if own_batches else (X, Y)
        want_loss, want = autograd(arch, alone, x, y)
        assert abs(loss[k] - want_loss) < 1e-12
        for a, b in zip(gradients.run(k).tensors(), want, strict=True):
            assert (a - b).abs().max() < 1e-10


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (7,), (8, 5), (3,)])
@pytest.mark.parametrize("lead", [(), (3,), (2, 2)])
def test_training_s_pass_gives_the_gradient_batch_after_batch(activation, hidden, lead):
    arch = Architecture(vocab_size=6, n_embd=4, hidden=hidden, activation=activation)
    params = network(arch)
    for k, size in enumerate(reversed(lead)):
        params = stack([params.map(lambda t, j=j + k: t * (1 + 0.1 * j)) for j in range(size)])
    params = params.turned()
    assert lies_turned(params.W[-1]) == (hidden in ((), (7,)))
    ready = mlp.Pass(params, batch_size=9, fast=True)
    for seed in (1, 2):  # the second is written over the first
        X, Y = batch(arch, seed=seed, lead=lead)
        inputs, zs, logits = ready.forward(ready.rows(X).flatten())
        got = ready.backward(ready.places(X), ready.targets(Y), inputs, zs, logits)
        want = mlp.backward(params, mlp.forward(params, X), Y)
        for name, a, b in zip(params.names(), got.tensors(), want.tensors(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12, msg=name)


def test_weights_that_lie_turned_in_memory_are_weights():
    arch = Architecture(vocab_size=6, n_embd=4, hidden=(7, 5))
    params, (X, Y) = network(arch), batch(arch)
    turned = params.with_tensors(
        t.mT.contiguous().mT if t.ndim == 2 else t for t in params.tensors()
    )
    record = mlp.forward(turned, X)
    torch.testing.assert_close(record.logits, mlp.forward(params, X).logits)
    pairs = zip(
        mlp.backward(turned, record, Y).tensors(),
        mlp.backward(params, record, Y).tensors(),
        strict=True,
    )
    for a, b in pairs:
        torch.testing.assert_close(a, b)


def test_more_than_one_leading_axis():
    arch = Architecture(vocab_size=6, n_embd=4, hidden=(7,))
    rows = [stack([network(arch, 10 * i + j) for j in range(3)]) for i in range(2)]
    params = stack(rows)
    X, Y = batch(arch)
    record = mlp.forward(params, X)
    assert record.logits.shape == (2, 3, 9, 6)
    gradients = mlp.backward(params, record, Y)
    want = mlp.backward(rows[1], mlp.forward(rows[1], X), Y)
    for a, b in zip(gradients.run(1).tensors(), want.tensors(), strict=True):
        torch.testing.assert_close(a, b)


@settings(deadline=None, max_examples=30)
@given(
    sizes=st.fixed_dictionaries(
        {
            "vocab_size": st.integers(1, 7),
            "block_size": st.integers(1, 4),
            "n_embd": st.integers(1, 5),
            "hidden": st.lists(st.integers(1, 6), max_size=3),
            "activation": st.sampled_from(list(ACTIVATIONS)),
        }
    ),
    n=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_any_sizes(sizes, n, seed):
    arch = Architecture(**sizes)
    params, (X, Y) = network(arch, seed), batch(arch, n, seed)
    record = mlp.forward(params, X)
    _, want = autograd(arch, params, X, Y)
    for a, b in zip(mlp.backward(params, record, Y).tensors(), want, strict=True):
        assert (a - b).abs().max() < 1e-10


def test_the_record_holds_every_intermediate_by_name():
    arch = Architecture(hidden=(11, 12))
    params, (X, _) = network(arch), batch(arch, 5)
    record = mlp.forward(params, X)
    assert record.embeddings.shape == (5, 30)
    assert torch.equal(record.embeddings, params.C[X].view(5, 30))
    assert [z.shape for z in record.pre_activations] == [(5, 11), (5, 12)]
    assert torch.equal(record.activations[1], torch.tanh(record.pre_activations[1]))


def test_extreme_logits_give_a_finite_loss():
    logits = torch.tensor([[1e4, -1e4, 0.0]])
    assert mlp.loss(logits, torch.tensor([1])).item() == pytest.approx(2e4)
    assert mlp.loss(logits, torch.tensor([0])).item() == 0


def test_an_even_guess_costs_the_log_of_the_alphabet():
    assert mlp.loss(torch.zeros(4, 27), torch.arange(4)).item() == pytest.approx(3.2958, abs=1e-4)


def test_predictions_are_probabilities():
    arch = Architecture()
    p = mlp.predict(network(arch), batch(arch)[0])
    torch.testing.assert_close(p.sum(-1), torch.ones(9, dtype=torch.float64))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (torch.zeros(4, 3), r"X is torch.float32; wanted \(batch, 3\) int64"),
        (torch.zeros(3, dtype=torch.int64), r"X is \(3,\); wanted \(batch, 3\)"),
        (torch.zeros(4, 2, dtype=torch.int64), r"X is \(4, 2\); wanted"),
        (torch.zeros(5, 4, 3, dtype=torch.int64), r"X is \(5, 4, 3\); wanted \(batch, 3\)"),
        (torch.full((4, 3), 27), "indices from 27 to 27; wanted 0 to 26"),
        (torch.full((4, 3), -1), "another corpus"),
    ],
)
def test_contexts_that_do_not_fit_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        mlp.forward(network(Architecture()), X)


def test_a_stack_says_which_contexts_it_takes():
    together = stack([network(Architecture(), k) for k in range(2)])
    with pytest.raises(ValueError, match=r"wanted \(batch, 3\) int64 or \(2, batch, 3\) int64"):
        mlp.forward(together, torch.zeros(3, 4, 3, dtype=torch.int64))


def test_targets_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"Y is \(3,\) for logits \(4, 27\); wanted \(4,\)"):
        mlp.loss(torch.zeros(4, 27), torch.zeros(3, dtype=torch.int64))


def test_an_empty_batch_goes_forward():
    arch = Architecture()
    assert mlp.forward(network(arch), batch(arch, 0)[0]).logits.shape == (0, 27)


def test_samples_are_words_of_the_network_s_alphabet():
    arch = Architecture(vocab_size=5, hidden=(8,))
    g = torch.Generator().manual_seed(0)
    words = mlp.sample(network(arch), 200, generator=g, max_length=12)
    assert len(words) == 200
    assert all(0 < i < 5 for word in words for i in word)
    assert max(map(len, words)) <= 12
    assert len({len(word) for word in words}) > 3


def test_samples_follow_the_network_s_probabilities():
    arch = Architecture(vocab_size=3, block_size=1, hidden=(4,))
    params = network(arch)
    first = mlp.predict(params, torch.zeros(1, 1, dtype=torch.int64))[0]
    words = mlp.sample(params, 20_000, generator=torch.Generator().manual_seed(3), max_length=3)
    empty = sum(not word for word in words) / len(words)
    one = sum(word[:1] == [1] for word in words) / len(words)
    assert empty == pytest.approx(first[0].item(), abs=0.015)
    assert one == pytest.approx(first[1].item(), abs=0.015)


def test_sampling_takes_one_network():
    together = stack([network(Architecture(), k) for k in range(2)])
    with pytest.raises(ValueError, match=r"pick one: .run\(k\)"):
        mlp.sample(together, 1, generator=torch.Generator())

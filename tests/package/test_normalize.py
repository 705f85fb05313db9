import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mlpinit import init, mlp, normalize, saturation, train
from mlpinit.corpus import Contexts
from mlpinit.normalize import NORMALIZERS, Statistics
from mlpinit.params import Architecture, stack

KINDS = tuple(NORMALIZERS)


def torchs_own(z, kind):
    """The same normalisation by PyTorch."""
    units = z.shape[-1:]
    if kind == "batch":
        return F.batch_norm(z, None, None, training=True, eps=normalize.EPS)
    if kind == "layer":
        return F.layer_norm(z, units, eps=normalize.EPS)
    return F.rms_norm(z, units, eps=normalize.EPS)


def drawn(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(shape, generator=g, dtype=torch.float64) + 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_forward_and_backward_are_torch_s(kind):
    z, upstream = drawn(7, 5).requires_grad_(), drawn(7, 5, seed=1)
    want = torchs_own(z, kind)
    (want_dz,) = torch.autograd.grad(want, z, upstream)
    found = normalize.forward(z.detach(), normalize.get(kind))
    torch.testing.assert_close(found.z_hat, want.detach(), rtol=0, atol=1e-12)
    dz = normalize.backward(upstream, found, normalize.get(kind))
    torch.testing.assert_close(dz, want_dz, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_autograd_goes_through_the_forward_pass(kind):
    z = drawn(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: normalize.forward(z, normalize.get(kind)).z_hat, (z,))


@pytest.mark.parametrize("kind", KINDS)
def test_the_backward_pass_is_that_of_central_differences(kind):
    z, upstream, step = drawn(4, 3), drawn(4, 3, seed=1), 1e-6
    normalizer = normalize.get(kind)

    def scalar(z):
        return (normalize.forward(z, normalizer).z_hat * upstream).sum()

    got = normalize.backward(upstream, normalize.forward(z, normalizer), normalizer)
    for i in range(4):
        for j in range(3):
            nudge = torch.zeros_like(z)
            nudge[i, j] = step
            slope = (scalar(z + nudge) - scalar(z - nudge)) / (2 * step)
            assert got[i, j].item() == pytest.approx(slope.item(), abs=1e-7)


@given(st.floats(0.1, 50), st.floats(-20, 20), st.sampled_from(["batch", "layer"]))
def test_scale_and_shift_of_what_comes_in_do_not_matter(scale, shift, kind):
    z, normalizer = drawn(6, 8), normalize.get(kind)
    a, b = (normalize.forward(x, normalizer).z_hat for x in (z, scale * z + shift))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-3)


def test_a_constant_unit_gives_zeros_and_finite_gradients():
    z = torch.full((5, 2), 3.0)
    normalizer = normalize.get("batch")
    found = normalize.forward(z, normalizer)
    assert not found.z_hat.any()
    assert normalize.backward(torch.ones(5, 2), found, normalizer).isfinite().all()


def test_fixed_statistics_are_used_and_let_the_gradient_through_unmixed():
    z, normalizer = drawn(4, 3), normalize.get("batch")
    mean, var = torch.tensor([1.0, 2, 3]).double(), torch.tensor([4.0, 9, 16]).double()
    found = normalize.forward(z, normalizer, (mean, var))
    torch.testing.assert_close(found.z_hat, (z - mean) / (var + normalize.EPS).sqrt())
    dz = normalize.backward(torch.ones_like(z), found, normalizer)
    torch.testing.assert_close(dz, (var + normalize.EPS).rsqrt().expand(4, 3))


# In the network


def network(kind, *, hidden=(7, 5), activation="tanh", seed=0):
    arch = Architecture(
        vocab_size=6, n_embd=4, hidden=hidden, activation=activation, normalize=kind
    )
    scheme = init.Scheme("test", lambda fan_in, fan_out: 1.6 * fan_in**-0.5, 0.3, 0.4, 0.2)
    g = torch.Generator().manual_seed(seed)
    params = init.draw(arch, scheme, generator=g, dtype=torch.float64)
    # Gains and biases as after some training: at 1 and 0 a wrong formula may pass.
    return replace(
        params,
        gain=tuple(t + 0.3 * torch.randn(t.shape, generator=g).double() for t in params.gain),
        b=tuple(t + 0.2 * torch.randn(t.shape, generator=g).double() for t in params.b),
    )


def batch(n=9, seed=1, lead=()):
    g = torch.Generator().manual_seed(seed)
    X = torch.randint(0, 6, (*lead, n, 3), generator=g)
    return X, torch.randint(0, 6, (*lead, n), generator=g)


def independent_loss(params, tensors, X, Y, kind, f):
    C, *rest = tensors
    n = len(params.W)
    W, b, gain = rest[0 : 2 * n : 2], rest[1 : 2 * n : 2], rest[2 * n :]
    x = F.embedding(X, C).flatten(-2)
    for layer in range(n - 1):
        x = f(torchs_own(x @ W[layer], kind) * gain[layer] + b[layer])
    return F.cross_entropy(x @ W[-1] + b[-1], Y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("activation", "f"), [("tanh", torch.tanh), ("relu", F.relu)])
@pytest.mark.parametrize("hidden", [(8,), (7, 5), (6, 9, 4)])
def test_the_network_s_gradient_is_autograd_s(kind, activation, f, hidden):
    params, (X, Y) = network(kind, hidden=hidden, activation=activation), batch()
    leaves = [t.clone().requires_grad_() for t in params.tensors()]
    want = independent_loss(params, leaves, X, Y, kind, f)
    record = mlp.forward(params, X)
    torch.testing.assert_close(mlp.loss(record.logits, Y), want.detach(), rtol=0, atol=1e-12)
    got = mlp.backward(params, record, Y)
    for name, g, w in zip(
        params.names(), got.tensors(), torch.autograd.grad(want, leaves), strict=True
    ):
        torch.testing.assert_close(g, w, rtol=0, atol=1e-10, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_k_networks_at_once_are_k_networks(kind):
    networks = [network(kind, seed=seed) for seed in range(3)]
    X, Y = batch(lead=(3,))
    together = stack(networks)
    record = mlp.forward(together, X)
    got = mlp.backward(together, record, Y)
    for k, alone in enumerate(networks):
        one = mlp.forward(alone, X[k])
        torch.testing.assert_close(record.logits[k], one.logits, rtol=0, atol=1e-12)
        want = mlp.backward(alone, one, Y[k])
        for a, b in zip(got.run(k).tensors(), want.tensors(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_a_record_with_fixed_statistics_has_the_gradient_of_evaluation():
    params, (X, Y) = network("batch"), batch()
    statistics = Statistics(
        tuple(torch.full_like(b, 0.3) for b in params.b[:-1]),
        tuple(torch.full_like(b, 2.0) for b in params.b[:-1]),
    )
    module = mlp.as_module(params, statistics).eval()
    loss = F.cross_entropy(module(X), Y)
    loss.backward()
    got = mlp.backward(params, mlp.forward(params, X, statistics=statistics), Y)
    torch.testing.assert_close(got.W[0], module[2].weight.grad.T, rtol=0, atol=1e-10)
    torch.testing.assert_close(got.gain[1], module[6].weight.grad, rtol=0, atol=1e-10)


def test_a_normalised_layer_draws_no_bias_as_the_published_experiment():
    g = torch.Generator().manual_seed(2147483647)
    params = init.draw(Architecture(normalize="batch"), init.kaiming("tanh"), generator=g)
    g = torch.Generator().manual_seed(2147483647)
    C, W1 = torch.randn((27, 10), generator=g), torch.randn((30, 200), generator=g)
    W2 = torch.randn((200, 27), generator=g) * 0.01
    assert torch.equal(params.C, C)
    torch.testing.assert_close(params.W[0], W1 * (5 / 3) / math.sqrt(30))
    torch.testing.assert_close(params.W[1], W2)
    assert not params.b[0].any()
    assert (params.gain[0] == 1).all()


def test_sizes_and_names_know_the_gains():
    params = network("batch")
    assert params.names()[-2:] == ("gain[0]", "gain[1]")
    assert sum(t.numel() for t in params.tensors()) == params.arch.n_params


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(ValueError, match="'Batch' is unknown; choose one of batch, layer, rms"):
        Architecture(normalize="Batch")


# Running statistics and calibration


def data(n=500):
    return Contexts(*batch(n, seed=4))


def trained(steps, **kwargs):
    params = network("batch")
    g = torch.Generator().manual_seed(3)
    return params, train.sgd(params, data(), steps=steps, generator=g, **kwargs)


def test_running_statistics_are_torch_s():
    params, run = trained(50, lr=0.0, momentum=0.1)
    module = mlp.as_module(params)
    g = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for ix in torch.randint(0, 500, (50, 32), generator=g):
            module(data().X[ix])
    for layer, norm in enumerate((module[3], module[6])):
        torch.testing.assert_close(run.statistics.mean[layer], norm.running_mean.double())
        torch.testing.assert_close(run.statistics.var[layer], norm.running_var.double())


def test_training_is_torch_s_training():
    params, run = trained(30, lr=0.1)
    module = mlp.as_module(params)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    g = torch.Generator().manual_seed(3)
    losses = []
    for ix in torch.randint(0, 500, (30, 32), generator=g):
        loss = F.cross_entropy(module(data().X[ix]), data().Y[ix])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    torch.testing.assert_close(run.losses, torch.stack(losses), rtol=0, atol=1e-9)
    torch.testing.assert_close(run.params.W[0], module[2].weight.detach().T, rtol=0, atol=1e-9)
    assert not torch.equal(run.params.gain[0], params.gain[0])


def test_calibration_is_the_batch_statistics_of_the_whole_set():
    params, contexts = network("batch"), data()
    found = train.calibrate(params, contexts)
    record = mlp.forward(params, contexts.X)  # the whole set is one batch
    for layer, normalized in enumerate(record.normalized):
        torch.testing.assert_close(found.mean[layer], normalized.mean.squeeze(-2))
        torch.testing.assert_close(found.var[layer], normalized.var.squeeze(-2))
    whole = mlp.loss(record.logits, contexts.Y).item()
    loss = train.evaluate(params, contexts, statistics=found).item()
    assert loss == pytest.approx(whole, abs=1e-12)


def test_calibration_of_a_stack_is_that_of_each():
    networks, contexts = [network("batch", seed=s) for s in range(2)], data()
    together = train.calibrate(stack(networks), contexts)
    for k, alone in enumerate(networks):
        one = train.calibrate(alone, contexts)
        torch.testing.assert_close(together.run(k).mean, one.mean)
        torch.testing.assert_close(together.run(k).var, one.var)


def test_evaluation_asks_for_statistics():
    params, contexts = network("batch"), data()
    g = torch.Generator()
    for call in (
        lambda: train.evaluate(params, contexts),
        lambda: saturation.census(params, contexts),
        lambda: mlp.predict(params, contexts.X),
        lambda: mlp.sample(params, 2, generator=g),
    ):
        with pytest.raises(ValueError, match=r"pass statistics=train.calibrate"):
            call()
    statistics = train.calibrate(params, contexts)
    assert len(mlp.sample(params, 2, generator=g, statistics=statistics)) == 2
    (first, _) = saturation.census(params, contexts, statistics=statistics)
    assert first.n == 500


def test_layer_and_rms_norm_need_none():
    for kind in ("layer", "rms"):
        assert train.evaluate(network(kind), data()).isfinite()


def test_what_does_not_fit_is_refused():
    contexts, g = data(), torch.Generator()
    with pytest.raises(ValueError, match="only 'batch' has statistics"):
        train.calibrate(network("layer"), contexts)
    with pytest.raises(ValueError, match="no contexts to calibrate on"):
        train.calibrate(network("batch"), Contexts(contexts.X[:0], contexts.Y[:0]))
    with pytest.raises(ValueError, match="batch_size is 1; wanted a whole number, 2 or more"):
        train.sgd(network("batch"), contexts, steps=1, generator=g, batch_size=1)
    statistics = train.calibrate(network("batch"), contexts)
    with pytest.raises(ValueError, match=r"momentum is 2\.0; wanted a number above 0, at most 1"):
        train.sgd(network("batch"), contexts, steps=1, generator=g, momentum=2.0)
    with pytest.raises(ValueError, match=r"shapes \[\(7,\), \(5,\)\] came .* layers \[\(4,\)\]"):
        mlp.forward(network("batch", hidden=(4,)), contexts.X, statistics=statistics)
    with pytest.raises(ValueError, match=r"hidden layers \[\(1, 7\), \(1, 5\)\]"):
        mlp.forward(stack([network("batch")]), contexts.X, statistics=statistics)
    with pytest.raises(ValueError, match="normalize='rms'"):
        mlp.as_module(network("rms"), statistics)
    with pytest.raises(ValueError, match="normalize='layer'"):
        mlp.forward(network("layer"), contexts.X, statistics=statistics)


# PyTorch's own layers


@pytest.mark.parametrize("kind", [None, *KINDS])
@pytest.mark.parametrize("activation", mlp.MODULES)
def test_the_module_computes_the_network(kind, activation):
    params, (X, _) = network(kind, activation=activation), batch()
    if kind == "rms":  # PyTorch's has no bias
        params = replace(params, b=(*(0 * b for b in params.b[:-1]), params.b[-1]))
    module = mlp.as_module(params)
    torch.testing.assert_close(module(X), mlp.forward(params, X).logits, rtol=0, atol=1e-12)
    for p in module.parameters():
        p.data.zero_()
    assert params.W[0].any()  # a copy, not a view


def test_the_module_evaluates_with_the_statistics():
    params, contexts = network("batch"), data()
    statistics = train.calibrate(params, contexts)
    module = mlp.as_module(params, statistics).eval()
    want = mlp.forward(params, contexts.X, statistics=statistics).logits
    torch.testing.assert_close(module(contexts.X), want, rtol=0, atol=1e-6)


def test_what_makes_no_module_is_refused():
    with pytest.raises(ValueError, match="one network makes a module"):
        mlp.as_module(stack([network("batch")]))
    with pytest.raises(ValueError, match=r"nn\.RMSNorm has no bias"):
        mlp.as_module(network("rms"))

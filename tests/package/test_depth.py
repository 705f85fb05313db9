import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpinit import depth, gains, init, mlp
from mlpinit.activations import ACTIVATIONS
from mlpinit.params import Architecture, stack


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(z):
    return z


# The mean field


@given(q=st.floats(0, 10), gain=st.floats(0, 3), bias_std=st.floats(0, 2))
def test_a_linear_layer_multiplies_the_variance_by_the_gain_squared(q, gain, bias_std):
    got = depth.variance_map(q, gain, bias_std=bias_std, activation=linear)
    assert got == pytest.approx(gain**2 * q + bias_std**2, rel=1e-9, abs=1e-12)
    assert depth.chi(q, gain, activation=linear) == pytest.approx(gain**2, rel=1e-9, abs=1e-12)


def test_linear_layers_grow_as_powers_of_the_gain():
    got = depth.variances(6, 1.5, activation=linear, mean_square=2.0)
    want = 2.0 * 1.5 ** (2 * torch.arange(1, 7, dtype=torch.float64))
    torch.testing.assert_close(got, want, rtol=1e-9, atol=0)


@given(q=st.floats(1e-3, 100), gain=st.floats(0.1, 3))
def test_relu_halves(q, gain):
    assert depth.variance_map(q, gain, activation="relu") == pytest.approx(gain**2 * q / 2)
    assert depth.chi(q, gain, activation="relu") == pytest.approx(gain**2 / 2)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_maps_are_what_a_sample_gives(activation):
    z = math.sqrt(1.7) * torch.randn(400_000, generator=generator(), dtype=torch.float64)
    z.requires_grad_()
    h = ACTIVATIONS[activation].f(z)
    (slope,) = torch.autograd.grad(h.sum(), z)
    h = h.detach()
    got = depth.variance_map(1.7, 1.3, bias_std=0.4, activation=activation)
    assert got == pytest.approx(1.69 * float((h**2).mean()) + 0.16, rel=0.01)
    got = depth.chi(1.7, 1.3, activation=activation)
    assert got == pytest.approx(1.69 * float((slope**2).mean()), rel=0.01)


@pytest.mark.parametrize(
    ("gain", "pre_activation", "activation", "root_chi"),
    [
        (4 / 3, 0.683, 0.513, 1.037),
        (1.5925, 1.000, 0.628, 1.085),
        (5 / 3, 1.086, 0.651, 1.100),
        (3, 2.511, 0.837, 1.364),
    ],
)
def test_the_table_of_gains_of_tanh(gain, pre_activation, activation, root_chi):
    q, chi = depth.fixed_point(gain)
    assert math.sqrt(q) == pytest.approx(pre_activation, abs=6e-4)
    assert math.sqrt(gains.second_moment("tanh", q)) == pytest.approx(activation, abs=6e-4)
    assert math.sqrt(chi) == pytest.approx(root_chi, abs=6e-4)


@settings(max_examples=20, deadline=None)
@given(
    gain=st.floats(0.3, 3),
    bias_std=st.floats(0, 1),
    mean_square=st.floats(0.01, 5),
    activation=st.sampled_from(["tanh", "sigmoid"]),
)
def test_the_fixed_point_is_the_limit_of_the_iteration(gain, bias_std, mean_square, activation):
    kwargs = {"bias_std": bias_std, "activation": activation}
    q, chi = depth.fixed_point(gain, mean_square=mean_square, **kwargs)
    walked = depth.variances(300, gain, mean_square=mean_square, **kwargs)
    step = (walked[-1] - walked[-2]).abs()
    # Where it still moves, by steps that shrink at least as those of the edge do, it is not far.
    assert abs(walked[-1] - q) < 1e-6 + 600 * step
    if q > 0:
        assert depth.variance_map(q, gain, **kwargs) == pytest.approx(q, rel=1e-8)
        assert chi == depth.chi(q, gain, activation=activation)


def test_fates():
    assert depth.fixed_point(0.9) == (0.0, pytest.approx(0.81))
    assert depth.fixed_point(0.9).phase == "ordered"
    assert depth.fixed_point(1.0).q == 0.0
    assert depth.fixed_point(1.0).phase == "edge"
    assert depth.fixed_point(1.001).q == pytest.approx(0.001, rel=0.01)  # (1 − 1/g²) / 2
    assert depth.fixed_point(1.5).phase == "chaotic"
    relu = depth.fixed_point(math.sqrt(2), activation="relu", mean_square=0.7)
    assert relu == (pytest.approx(1.4), pytest.approx(1.0))  # every q stays
    assert relu.phase == "edge"
    assert depth.fixed_point(1.5, activation="relu").q == math.inf
    assert depth.fixed_point(1.0, activation="relu") == (0.0, pytest.approx(0.5))
    assert depth.fixed_point(1.0, bias_std=0.3, activation="relu").q == pytest.approx(0.18)
    assert depth.fixed_point(0.0).q == 0.0
    # GELU at 1.9: small signals die and large ones grow.
    small = depth.fixed_point(1.9, activation="gelu", mean_square=1e-3)
    assert small == (0.0, pytest.approx(1.9**2 / 4))
    assert depth.fixed_point(1.9, activation="gelu", mean_square=9.0).q == math.inf


@settings(max_examples=20, deadline=None)
@given(q=st.floats(0.01, 5), activation=st.sampled_from(["tanh", "relu"]))
def test_on_the_edge_chi_is_1(q, activation):
    gain, bias_std = depth.edge_of_chaos(q, activation=activation)
    assert depth.chi(q, gain, activation=activation) == pytest.approx(1)
    got = depth.variance_map(q, gain, bias_std=bias_std, activation=activation)
    assert got == pytest.approx(q, rel=1e-8)


def test_the_edge_of_relu_is_a_point():
    gain, bias_std = depth.edge_of_chaos(3.0, activation="relu")
    assert (gain, bias_std) == (pytest.approx(math.sqrt(2)), pytest.approx(0, abs=1e-6))
    with pytest.raises(ValueError, match="no stack is at the edge of chaos with q = 1"):
        depth.edge_of_chaos(1.0, activation=lambda z: z + 1)


def test_at_gain_1_the_size_falls_as_one_over_the_root_of_twice_the_depth():
    q = depth.variances(2000, 1.0)
    assert q[-1].sqrt() * math.sqrt(4000) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("c", [-1.0, -0.6, 0.0, 0.3, 0.99, 1.0])
def test_the_correlation_map_of_relu_is_the_arc_cosine_kernel(c):
    got = depth.correlation_map(c, math.sqrt(2), activation="relu")
    angle = math.acos(c)
    assert got == pytest.approx((math.sin(angle) + (math.pi - angle) * c) / math.pi, abs=1e-9)
    assert depth.correlation_map(c, 0.7, activation=linear, q=2.0) == pytest.approx(c, abs=1e-9)


def test_the_correlation_map_s_slope_at_1_is_chi():
    for gain, bias_std in ((5 / 3, 0.0), (1.2, 0.3), (0.8, 0.5)):
        _, chi = depth.fixed_point(gain, bias_std=bias_std)
        assert depth.correlation_map(1.0, gain, bias_std=bias_std) == pytest.approx(1)
        below = depth.correlation_map(1 - 1e-5, gain, bias_std=bias_std)
        assert (1 - below) / 1e-5 == pytest.approx(chi, rel=1e-3)


def test_the_correlation_map_is_what_a_sample_gives():
    a, b = torch.randn(2, 1_000_000, generator=generator(), dtype=torch.float64)
    q, c = 1.3, 0.4
    u, v = math.sqrt(q) * a, math.sqrt(q) * (c * a + math.sqrt(1 - c * c) * b)
    h, k = torch.tanh(u), torch.tanh(v)
    want = float((2.25 * (h * k).mean() + 0.09) / (2.25 * (h * h).mean() + 0.09))
    assert depth.correlation_map(c, 1.5, bias_std=0.3, q=q) == pytest.approx(want, abs=3e-3)


def test_bad_numbers_are_refused():
    for call in (
        lambda: depth.variance_map(-1.0, 1.0),
        lambda: depth.variance_map(1.0, math.nan),
        lambda: depth.chi(1.0, -1.0),
        lambda: depth.variances(3, 1.0, bias_std=math.inf),
        lambda: depth.fixed_point(-0.1),
    ):
        with pytest.raises(ValueError, match="wanted a finite number, 0 or more"):
            call()
    with pytest.raises(ValueError, match="depth is 0; wanted a whole number"):
        depth.variances(0, 1.0)
    with pytest.raises(ValueError, match=r"c is 1\.1; a correlation lies between"):
        depth.correlation_map(1.1, 1.0)
    with pytest.raises(ValueError, match="died out or blew up"):
        depth.correlation_map(0.5, 0.5)
    with pytest.raises(ValueError, match="activation 'Tanh' is unknown"):
        depth.fixed_point(1.0, activation="Tanh")


# Layers as they are


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("branch_scale", [None, 0.3])
@pytest.mark.parametrize("orthogonal", [False, True])
def test_the_backward_pass_is_autograd_s(activation, branch_scale, orthogonal):
    layers = depth.draw_layers(
        width=7,
        depth=5,
        gain=1.4,
        bias_std=0.3,
        activation=activation,
        orthogonal=orthogonal,
        branch_scale=branch_scale,
        generator=[generator(k) for k in range(2)],
        dtype=torch.float64,
    )
    x, top = torch.randn(2, 2, 4, 7, generator=generator(9), dtype=torch.float64)
    zs, hs = depth.forward(layers, x)
    got = depth.backward(layers, zs, hs, top)

    # The same layers in torch's own functions, a run at a time.
    for k in range(2):
        h = x[k].clone().requires_grad_()
        chain = [h]
        for W, b in zip(layers.W, layers.b, strict=True):
            z = torch.nn.functional.linear(h, W[k].T, b[k])
            f = {
                "tanh": torch.tanh,
                "sigmoid": torch.sigmoid,
                **{n: getattr(torch.nn.functional, n) for n in ACTIVATIONS if n[-1] == "u"},
            }[activation](z)
            h = f if branch_scale is None else h + branch_scale * f
            chain.append(h)
        want = torch.autograd.grad(h, chain, grad_outputs=top[k])
        assert len(got) == len(hs) == len(want) == 6
        for a, b, mine, theirs in zip(got, want, hs, chain, strict=True):
            assert (a[k] - b).abs().max() < 1e-10
            assert (mine[k] - theirs).abs().max() < 1e-12
            assert b.abs().max() > 1e-5


def test_the_draws_of_layers():
    kwargs = {"width": 200, "depth": 3, "gain": 1.5, "bias_std": 0.4}
    normal = depth.draw_layers(**kwargs, generator=generator())
    g = generator()
    for W, b in zip(normal.W, normal.b, strict=True):
        torch.testing.assert_close(W, torch.randn(200, 200, generator=g) * 1.5 / math.sqrt(200))
        torch.testing.assert_close(b, torch.randn(200, generator=g) * 0.4)
    turned = depth.draw_layers(**kwargs, orthogonal=True, generator=generator())
    for W, b, other in zip(turned.W, normal.b, turned.b, strict=True):
        torch.testing.assert_close(W @ W.T, 2.25 * torch.eye(200), atol=1e-4, rtol=0)
        assert torch.equal(b, other)


def test_k_stacks_are_k_stacks():
    kwargs = {"width": 20, "depth": 4, "gain": 1.5, "bias_std": 0.1, "batch": 8}
    together = depth.propagate(**kwargs, generator=[generator(k) for k in range(3)])
    for k in range(3):
        alone = depth.propagate(**kwargs, generator=generator(k))
        for name, value in vars(alone).items():
            torch.testing.assert_close(getattr(together, name)[k], value)
            assert value.shape == (4,)
    for few in ([], [generator()] * 2):
        with pytest.raises(ValueError, match="pass one a stack"):
            depth.propagate(**kwargs, generator=few)


@pytest.mark.parametrize(
    ("activation", "gain", "bias_std"),
    [("tanh", 5 / 3, 0.0), ("tanh", 3.0, 0.0), ("tanh", 1.2, 0.3), ("relu", math.sqrt(2), 0.0)],
)
def test_a_wide_stack_does_what_the_mean_field_says(activation, gain, bias_std):
    n_layers = 12
    p = depth.propagate(
        width=600,
        depth=n_layers,
        gain=gain,
        bias_std=bias_std,
        activation=activation,
        generator=generator(),
    )
    q = depth.variances(n_layers, gain, bias_std=bias_std, activation=activation)
    rel = 0.05 if activation == "tanh" else 0.2  # nothing pulls ReLU back to its variance
    for layer, variance in enumerate(q.tolist()):
        assert p.pre_activation[layer].item() == pytest.approx(math.sqrt(variance), rel=rel)
        h = math.sqrt(gains.second_moment(activation, variance))
        assert p.activation[layer].item() == pytest.approx(h, rel=rel)
    # Every layer on the way back to h_1 multiplies the gradient by √χ.
    back = math.prod(depth.chi(v, gain, activation=activation) ** 0.5 for v in q[1:].tolist())
    assert p.gradient[-1].item() == pytest.approx(1)
    assert p.gradient[0].item() == pytest.approx(back, rel=0.1 + rel)


def test_the_flat_fraction_is_the_share_of_saturated_entries():
    p = depth.propagate(width=300, depth=5, gain=3.0, generator=generator(), dtype=torch.float64)
    layers = depth.draw_layers(
        width=300, depth=5, gain=3.0, generator=(g := generator()), dtype=torch.float64
    )
    x = torch.randn(64, 300, generator=g).double()
    _, hs = depth.forward(layers, x)
    want = torch.stack([(h.abs() > math.sqrt(0.98)).double().mean() for h in hs[1:]])
    torch.testing.assert_close(p.flat_fraction, want)
    assert 0.2 < want[-1] < 0.4


def test_hundred_layers():
    """Gain 1: ≈ 1/√(2·100); gain 5/3: stationary, and a gradient that grows ten-thousandfold."""
    for gain, size, low, high in ((1.0, 0.0707, 0.05, 0.3), (5 / 3, 0.651, 5e3, 3e4)):
        p = depth.propagate(width=300, depth=100, gain=gain, generator=generator())
        assert p.activation[-1].item() == pytest.approx(size, rel=0.2)
        assert low < p.gradient[0] < high


def test_residual_branches_add_variance_and_keep_the_gradient():
    n_layers, s = 50, 50**-0.5
    kwargs = {"width": 400, "depth": n_layers, "gain": 1.0, "generator": generator()}
    p = depth.propagate(**kwargs, branch_scale=s)
    m, back = 1.0, 1.0  # the mean square of the stream; the branch adds s² E f²
    for layer in range(n_layers):
        if layer:
            back *= 1 + s * s * depth.chi(m, 1.0)
        m += s * s * gains.second_moment("tanh", m)
    assert p.activation[-1].item() == pytest.approx(math.sqrt(m), rel=0.05)
    assert p.gradient[0].item() == pytest.approx(math.sqrt(back), rel=0.05)


def test_layers_that_cannot_be_are_refused():
    good = {"width": 4, "depth": 2, "gain": 1.0, "generator": generator()}
    for change, message in (
        ({"width": 0}, "width is 0; wanted a whole number"),
        ({"depth": 2.5}, r"depth is 2\.5; wanted a whole number"),
        ({"batch": True}, "batch is True; wanted a whole number"),
        ({"gain": -1.0}, r"gain is -1\.0; wanted a finite number"),
        ({"bias_std": math.nan}, "bias_std is nan; wanted a finite number"),
        ({"branch_scale": -0.1}, r"branch_scale is -0\.1; wanted a finite number"),
        ({"activation": "ReLU"}, "activation 'ReLU' is unknown"),
    ):
        with pytest.raises(ValueError, match=message):
            depth.propagate(**good | change)


# LSUV


def contexts(n=64, seed=3):
    return torch.randint(27, (n, 3), generator=generator(seed))


@pytest.mark.parametrize("scheme", [init.QUIET_OUTPUT, init.scaled(0.02, 0.01), init.orthogonal()])
@pytest.mark.parametrize("hidden", [(), (50,), (40, 90, 20, 60)])
def test_lsuv_gives_every_hidden_layer_the_target(scheme, hidden):
    arch = Architecture(hidden=hidden)
    drawn = init.draw(arch, scheme, generator=generator(), dtype=torch.float64)
    drawn = drawn.map(lambda t: t if t.ndim == 2 else t * 0.3)
    before = drawn.clone()
    got = depth.lsuv(drawn, contexts(), target=1.5, tol=1e-6, max_iter=50)
    for z in mlp.forward(got, contexts()).pre_activations:
        assert z.std(correction=0).item() == pytest.approx(1.5, rel=1e-6)
    for name, new, old in zip(got.names(), got.tensors(), before.tensors(), strict=True):
        if name.startswith("W") and name != f"W[{len(hidden)}]":
            ratio = new / old  # one number a layer
            torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))
        else:
            assert torch.equal(new, old)
    assert all(map(torch.equal, drawn.tensors(), before.tensors()))


def test_lsuv_of_k_networks():
    arch = Architecture(hidden=(30, 20))
    networks = [init.draw(arch, init.scaled(1, 0.1), generator=generator(k)) for k in range(3)]
    together = depth.lsuv(stack(networks), contexts(), tol=0.001)
    for k, alone in enumerate(networks):
        want = depth.lsuv(alone, contexts(), tol=0.001)
        for a, b in zip(together.run(k).W, want.W, strict=True):
            torch.testing.assert_close(a, b, rtol=2e-3, atol=1e-6)


def test_lsuv_says_when_it_cannot():
    start = init.draw(Architecture(hidden=(30, 20)), init.QUIET_OUTPUT, generator=generator())
    for bad in ({"target": 0.0}, {"tol": 0.0}):
        with pytest.raises(ValueError, match="wanted numbers above 0"):
            depth.lsuv(start, contexts(), **bad)
    with pytest.raises(ValueError, match=r"hidden layer 0 has pre-activations of std .* max_iter"):
        depth.lsuv(start, contexts(), target=0.5)  # biases of std 1 alone are more
    with pytest.raises(ValueError, match=r"hidden layer 0 .* all equal \(std 0\)"):
        depth.lsuv(start.map(torch.zeros_like), contexts())
    with pytest.raises(ValueError, match=r"wanted .*int64"):
        depth.lsuv(start, contexts().float())
    normalised = Architecture(hidden=(30,), normalize="batch")
    with pytest.raises(ValueError, match="the layers are normalised"):
        depth.lsuv(init.draw(normalised, init.QUIET_OUTPUT, generator=generator()), contexts())

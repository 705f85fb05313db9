import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mlpinit import gains, init, mlp
from mlpinit.activations import ACTIVATIONS
from mlpinit.gains import (
    backward_gain,
    backward_variance,
    critical_gain,
    expectation,
    forward_gain,
    forward_variance,
    second_moment,
    slope_moment,
)
from mlpinit.params import Architecture

NAMES = list(ACTIVATIONS)
INPUTS, WIDTH, ROWS = 120, 700, 400  # asymmetric: a transpose would show


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def double_factorial(n):
    return math.prod(range(n, 0, -2))


# The quadrature


@pytest.mark.parametrize("power", range(12))
def test_powers_of_a_normal_have_their_moments(power):
    want = 0 if power % 2 else double_factorial(power - 1)
    assert expectation(lambda z: z**power) == pytest.approx(want, rel=1e-13, abs=1e-9)


@given(a=st.floats(-3, 3), std=st.floats(0, 2), mean=st.floats(-2, 2))
def test_the_exponential_has_its_closed_form(a, std, mean):
    got = expectation(lambda z: torch.exp(a * z), std=std, mean=mean)
    assert got == pytest.approx(math.exp(a * mean + (a * std) ** 2 / 2), rel=1e-11)


@given(std=st.floats(1e-6, 1e6), mean=st.floats(-5, 5))
def test_a_kink_costs_nothing_wherever_it_lies(std, mean):
    # E max(0, m + s z) = m Φ(m/s) + s φ(m/s)
    cdf = 0.5 * math.erfc(-mean / std / math.sqrt(2))
    pdf = math.exp(-0.5 * (mean / std) ** 2) / math.sqrt(2 * math.pi)
    got = expectation(torch.relu, std=std, mean=mean)
    assert got == pytest.approx(mean * cdf + std * pdf, rel=1e-12, abs=1e-13 * std)
    step = expectation(lambda z: (z > 0).double(), std=std, mean=mean)
    assert step == pytest.approx(cdf, abs=1e-13)


@given(cut=st.floats(0.01, 10), std=st.floats(0.1, 50))
def test_jumps_elsewhere_are_named(cut, std):
    got = expectation(lambda z: (z.abs() > cut).double(), std=std, kinks=(-cut, cut))
    assert got == pytest.approx(math.erfc(cut / std / math.sqrt(2)), abs=1e-13)


@pytest.mark.parametrize("std", [1e-4, 0.3, 1.0, 7.0, 1e3])
@pytest.mark.parametrize("name", NAMES)
def test_it_agrees_with_a_fine_trapezoid(name, std):
    f = ACTIVATIONS[name].f
    z = torch.linspace(-12, 12, 1_200_001, dtype=torch.float64)
    density = torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    want = torch.trapezoid(f(std * z) ** 2 * density, dx=24 / (len(z) - 1)).item()
    assert expectation(lambda z: f(z) ** 2, std=std) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "gelu", "silu"])
def test_smooth_means_agree_with_gauss_hermite(name):
    x, w = np.polynomial.hermite_e.hermegauss(180)
    values = ACTIVATIONS[name].f(torch.from_numpy(x)) ** 2
    want = float(values.numpy() @ w) / math.sqrt(2 * math.pi)
    assert second_moment(name) == pytest.approx(want, rel=1e-10)


def test_a_steep_tanh_is_a_sign():
    # 1 − tanh² has area 2, so E tanh²(s z) → 1 − 2 φ(0) / s
    got = expectation(lambda z: torch.tanh(z) ** 2, std=1e6)
    assert 1 - got == pytest.approx(2 / math.sqrt(2 * math.pi) / 1e6, rel=1e-8)


def test_no_width_is_the_value_at_the_mean():
    assert expectation(torch.tanh, std=0, mean=0.5) == pytest.approx(math.tanh(0.5), rel=1e-15)


@pytest.mark.parametrize(
    ("std", "mean"), [(-1, 0), (math.nan, 0), (math.inf, 0), (1, math.nan), (1, math.inf)]
)
def test_impossible_widths_are_refused(std, mean):
    with pytest.raises(ValueError, match="wanted finite numbers, std 0 or more"):
        expectation(torch.tanh, std=std, mean=mean)


@pytest.mark.parametrize("std", [0.0, 1.0])
def test_what_is_no_elementwise_function_is_refused(std):
    with pytest.raises(ValueError, match=r"f returned \(\) for a tensor of shape"):
        expectation(torch.sum, std=std)
    with pytest.raises(ValueError, match="f returned float for a tensor"):
        expectation(lambda z: 1.0, std=std)
    with pytest.raises(ValueError, match="is not finite"):
        expectation(lambda z: torch.log(z - 0.1), std=std)


# The gains


def test_the_closed_forms():
    # arcsine law for the error function; ReLU halves; sin and cos by characteristic functions
    assert second_moment("relu") == pytest.approx(0.5, rel=1e-13)
    assert second_moment("leaky_relu") == pytest.approx((1 + 0.01**2) / 2, rel=1e-13)
    assert second_moment(lambda z: torch.erf(z / math.sqrt(2))) == pytest.approx(1 / 3, rel=1e-12)
    assert second_moment(torch.sin, 2.0) == pytest.approx((1 - math.exp(-4)) / 2, rel=1e-12)
    assert slope_moment(torch.sin, 2.0) == pytest.approx((1 + math.exp(-4)) / 2, rel=1e-12)
    cdf = 0.5 * math.erfc(math.sqrt(2))  # Φ(−2)
    want = 0.5 + 0.5 - 2 * (math.exp(0.5) * 0.5 * math.erfc(1 / math.sqrt(2)))
    want += math.exp(2) * cdf  # E max(0, z)² + E (e^z − 1)² over z < 0
    assert second_moment("elu") == pytest.approx(want, rel=1e-12)
    assert slope_moment("elu") == pytest.approx(0.5 + math.exp(2) * cdf, rel=1e-12)
    # GELU at q = 1: E z² Φ(z)² = 1/3 + 1/(2 √3 π)
    gelu = 1 / 3 + 1 / (2 * math.sqrt(3) * math.pi)
    assert second_moment("gelu") == pytest.approx(gelu, rel=1e-12)
    # for an even f', E σ'(z) = E z σ(z) (Stein); σ(z) + σ(−z) = 1 gives E σ = 1/2
    assert expectation(torch.sigmoid) == pytest.approx(0.5, rel=1e-13)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("q", [0.3, 1.0, 30.0])
def test_a_simulation_gives_the_same_moments(name, q):
    a, z = ACTIVATIONS[name], math.sqrt(q) * normal(1_000_000)
    h = a.f(z)
    for values, want in (
        (h**2, second_moment(name, q)),
        (a.slope(z, h) ** 2, slope_moment(name, q)),
    ):
        error = values.std().item() / math.sqrt(len(z))
        assert values.mean().item() == pytest.approx(want, abs=4 * error)


def test_tanh_has_three_right_gains_and_pytorch_a_fourth():
    assert forward_gain("tanh") == pytest.approx(1.5925374197228)
    assert backward_gain("tanh") == pytest.approx(1.4674135916308)
    assert critical_gain("tanh") == 1
    torch_gain = torch.nn.init.calculate_gain("tanh")
    assert torch_gain == pytest.approx(5 / 3)
    assert torch_gain > forward_gain("tanh") > backward_gain("tanh") > critical_gain("tanh")


@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
@pytest.mark.parametrize("gain", [forward_gain, backward_gain, critical_gain])
def test_where_pytorch_derived_its_gain_all_agree(name, gain):
    param = 0.01 if name == "leaky_relu" else None
    assert gain(name) == pytest.approx(torch.nn.init.calculate_gain(name, param), rel=1e-12)


def test_pytorch_s_gain_of_sigmoid_is_neither():
    assert torch.nn.init.calculate_gain("sigmoid") == 1
    assert forward_gain("sigmoid") == pytest.approx(1.846, abs=1e-3)
    assert backward_gain("sigmoid") == pytest.approx(4.723, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_an_activation_and_a_function_are_the_same(name):
    a = ACTIVATIONS[name]
    for gain in (forward_gain, backward_gain):
        assert gain(a) == gain(name)
        assert gain(a.f, 2.0) == pytest.approx(gain(name, 2.0), rel=1e-12)


@given(scale=st.floats(0.1, 10), q=st.floats(0.1, 10))
def test_scaling_a_function_divides_its_gain(scale, q):
    def f(z):
        return scale * torch.tanh(z)

    for gain in (forward_gain, backward_gain):
        assert gain(f, q) * scale == pytest.approx(gain("tanh", q), rel=1e-12)
    assert critical_gain(f) * scale == pytest.approx(1, rel=1e-9)


@given(q=st.floats(1e-3, 1e3))
def test_the_forward_gain_keeps_its_variance(q):
    for name in NAMES:
        std = forward_gain(name, q) / math.sqrt(INPUTS)
        kept = forward_variance(q, name, fan_in=INPUTS, weight_std=std)
        assert kept == pytest.approx(q, rel=1e-12)


@given(q=st.floats(1e-3, 1e3), d=st.floats(0, 1e3))
def test_the_backward_gain_keeps_the_gradient(q, d):
    std = backward_gain("tanh", q) / math.sqrt(WIDTH)
    kept = backward_variance(d, "tanh", q, fan_out=WIDTH, weight_std=std)
    assert kept == pytest.approx(d, rel=1e-12)


def test_critical_gains_are_one_over_the_slope_at_0():
    assert critical_gain("elu") == pytest.approx(1, rel=1e-12)
    assert critical_gain(torch.sin) == pytest.approx(1, rel=1e-12)
    # χ at a tiny q is 1 there
    for name in ("tanh", "relu", "leaky_relu", "elu"):
        chi = critical_gain(name) ** 2 * slope_moment(name, 1e-16)
        assert chi == pytest.approx(1, abs=1e-7)


def test_no_gain_is_critical_where_the_limit_is_no_fate():
    with pytest.raises(ValueError, match=r"f\(0\) is 0.5, not 0"):
        critical_gain("sigmoid")
    for name in ("gelu", "silu"):
        with pytest.raises(ValueError, match="at 2, the one that fits there"):
            critical_gain(name)
    with pytest.raises(ValueError, match="f' beside 0 squared is 0: no gain can make up"):
        critical_gain(lambda z: z**3)


# Layers: what is drawn, and what comes out


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_has_the_predicted_variance_forward(name):
    z = normal(ROWS, INPUTS) * 1.3
    W, b = normal(INPUTS, WIDTH, seed=1) * 0.07, normal(WIDTH, seed=2) * 0.4
    after = ACTIVATIONS[name].f(z) @ W + b
    want = forward_variance(1.69, name, fan_in=INPUTS, weight_std=0.07, bias_std=0.4)
    by_unit = after.var(0, correction=0) + after.mean(0) ** 2  # (WIDTH,) one mean square a unit
    # Units share their rows: the second term is the rows' own spread.
    by_row = (ACTIVATIONS[name].f(z) ** 2).mean(1)
    error = math.hypot(
        by_unit.std().item() / math.sqrt(WIDTH),
        INPUTS * 0.07**2 * by_row.std().item() / math.sqrt(ROWS),
    )
    assert by_unit.mean().item() == pytest.approx(want, abs=4 * error)
    assert error < 0.06 * want


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_has_the_predicted_gradient_backward(name):
    z = (normal(ROWS, INPUTS) * 1.3).requires_grad_()
    W, d = normal(INPUTS, WIDTH, seed=1) * 0.07, normal(ROWS, WIDTH, seed=3) * 0.5
    (got,) = torch.autograd.grad(ACTIVATIONS[name].f(z) @ W, z, grad_outputs=d)
    want = backward_variance(0.25, name, 1.69, fan_out=WIDTH, weight_std=0.07)
    squares = got**2
    error = squares.std().item() * math.sqrt(1 / ROWS / INPUTS + 1 / ROWS**2 + 1 / INPUTS**2)
    assert squares.mean().item() == pytest.approx(want, abs=4 * error)
    assert error < 0.06 * want


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_pytorch_s_draws_are_of_the_transpose(name, mode):
    theirs = torch.empty(WIDTH, INPUTS)  # nn.Linear(INPUTS, WIDTH).weight: (fan_out, fan_in)
    assert torch.nn.Linear(INPUTS, WIDTH).weight.shape == theirs.shape
    torch.nn.init.kaiming_normal_(theirs, mode=mode, nonlinearity=name, generator=generator())
    fan = INPUTS if mode == "fan_in" else WIDTH
    want = torch.nn.init.calculate_gain(name) / math.sqrt(fan)
    error = want / math.sqrt(2 * theirs.numel())
    assert theirs.std().item() == pytest.approx(want, abs=4 * error)
    if name == "relu":
        ours = forward_gain(name) if mode == "fan_in" else backward_gain(name)
        assert ours / math.sqrt(fan) == pytest.approx(want)


@pytest.mark.parametrize(
    ("scheme", "std"),
    [
        (init.lecun(), 1 / math.sqrt(INPUTS)),
        (init.xavier(), math.sqrt(2 / (INPUTS + WIDTH))),
        (init.kaiming("relu"), math.sqrt(2 / INPUTS)),
        (init.kaiming("gelu", gain=forward_gain("gelu")), forward_gain("gelu") / math.sqrt(INPUTS)),
    ],
)
def test_schemes_draw_the_standard_deviation_that_they_say(scheme, std):
    arch = Architecture(block_size=3, n_embd=INPUTS // 3, hidden=(WIDTH,))
    W = init.draw(arch, scheme, generator=generator()).W[0]
    assert W.shape == (INPUTS, WIDTH)
    assert W.std().item() == pytest.approx(std, abs=4 * std / math.sqrt(2 * W.numel()))


def test_xavier_is_pytorch_s_of_the_transpose():
    theirs = torch.empty(WIDTH, INPUTS)
    torch.nn.init.xavier_normal_(theirs, generator=generator())
    want = init.xavier().weight(INPUTS, WIDTH)
    assert theirs.std().item() == pytest.approx(want, abs=4 * want / math.sqrt(2 * theirs.numel()))


def test_lecun_keeps_the_width_of_the_embeddings():
    arch = Architecture(n_embd=100, hidden=(500,))
    record = mlp.forward(
        init.draw(arch, init.lecun(b=0), generator=generator(), dtype=torch.float64),
        torch.randint(0, 27, (200, 3), generator=generator(1)),
    )
    x, z = record.embeddings, record.pre_activations[0]
    squares = (z**2).mean(0)  # (500,) units share their inputs: the error is between units
    error = squares.std().item() / math.sqrt(500)
    assert squares.mean().item() == pytest.approx((x**2).mean().item(), abs=4 * error)
    assert init.lecun(b=0.5).bias == 0.5


def test_kaiming_s_refusal_points_at_the_gain_that_fits():
    with pytest.raises(ValueError, match=r"gain=gains.forward_gain\('gelu'\)"):
        init.kaiming("gelu")


# Refusals


@pytest.mark.parametrize("q", [-1.0, math.nan, math.inf])
def test_variances_that_cannot_be_are_refused(q):
    for f in (second_moment, slope_moment, backward_gain):
        with pytest.raises(ValueError, match="a variance is a finite number, 0 or more"):
            f("tanh", q)
    with pytest.raises(ValueError, match="q is"):
        forward_gain("tanh", q)


def test_what_cannot_be_made_up_for_is_refused():
    with pytest.raises(ValueError, match="q is 0; a variance to keep is above 0"):
        forward_gain("tanh", 0)
    with pytest.raises(ValueError, match="the mean of f squared is 0: no gain can make up for it"):
        forward_gain(torch.zeros_like)
    with pytest.raises(ValueError, match="the mean of f' squared is 0"):
        backward_gain(lambda z: 0 * z)
    with pytest.raises(ValueError, match="'Tanh' is unknown; choose one of tanh"):
        forward_gain("Tanh")
    with pytest.raises(ValueError, match="wanted a name, an Activation or a function"):
        forward_gain(3)


@pytest.mark.parametrize("fan", [0, -1, 2.5, True])
def test_a_fan_is_a_count(fan):
    with pytest.raises(ValueError, match=r"fan_in is .*; wanted a whole number, 1 or more"):
        forward_variance(1.0, "tanh", fan_in=fan, weight_std=1.0)
    with pytest.raises(ValueError, match=r"fan_out is .*; wanted a whole number, 1 or more"):
        backward_variance(1.0, "tanh", fan_out=fan, weight_std=1.0)


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_standard_deviations_are_not_negative(bad):
    with pytest.raises(ValueError, match="is negative; wanted 0 or more"):
        forward_variance(1.0, "tanh", fan_in=3, weight_std=bad)
    with pytest.raises(ValueError, match="is negative; wanted 0 or more"):
        forward_variance(1.0, "tanh", fan_in=3, weight_std=1.0, bias_std=bad)
    with pytest.raises(ValueError, match="is negative; wanted 0 or more"):
        backward_variance(bad, "tanh", fan_out=3, weight_std=1.0)


def test_the_public_names():
    assert set(gains.__all__) <= set(dir(gains))


HALF = torch.tensor([0.5])


def prelu(z):
    return F.prelu(z, HALF)


MODULES = {
    "in place": (nn.LeakyReLU(0.2, inplace=True), 0.2),
    "a method in place": (torch.Tensor.relu_, 0.0),
    "a parameter": (nn.PReLU(init=-0.5), -0.5),
    "float32 inside": (prelu, 0.5),
}


@pytest.mark.parametrize(("f", "left"), MODULES.values(), ids=MODULES)
def test_activations_in_place_and_with_parameters(f, left):
    want = math.sqrt(2 / (1 + left**2))
    assert gains.forward_gain(f) == pytest.approx(want, rel=1e-6)
    assert gains.backward_gain(f) == pytest.approx(want, rel=1e-6)
    if f is not prelu:
        assert gains.critical_gain(f) == pytest.approx(want)
    assert not isinstance(f, nn.Module) or all(p.dtype == torch.float32 for p in f.parameters())

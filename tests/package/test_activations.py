import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlpinit import activations
from mlpinit.activations import ACTIVATIONS, get, saturates_beyond, table

NAMES = list(ACTIVATIONS)
TORCH = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.nn.functional.relu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "elu": torch.nn.functional.elu,
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
}
GRID = torch.linspace(-12, 12, 20_001, dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_the_function_is_torch_s(name):
    torch.testing.assert_close(get(name).f(GRID), TORCH[name](GRID), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_the_slope_is_autograd_s(name):
    z = GRID.clone().requires_grad_()
    h = TORCH[name](z)
    (want,) = torch.autograd.grad(h.sum(), z)
    got = get(name).slope(GRID, get(name).f(GRID))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@given(z=st.floats(-30, 30).filter(lambda z: abs(z) > 1e-3))
def test_the_slope_is_the_limit_of_a_difference(name, z):
    a, eps = get(name), 1e-6
    at = torch.tensor([z - eps, z, z + eps], dtype=torch.float64)
    h = a.f(at)
    assert a.slope(at, h)[1].item() == pytest.approx((h[2] - h[0]).item() / (2 * eps), abs=1e-7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_shape_are_kept(name, dtype):
    z = torch.linspace(-3, 3, 12, dtype=dtype).view(3, 4)
    h = get(name).f(z)
    for out in (h, get(name).slope(z, h)):
        assert out.dtype == dtype
        assert out.shape == z.shape


@pytest.mark.parametrize("name", NAMES)
def test_the_largest_slope_is_reached_and_not_passed(name):
    a = get(name)
    steepest = a.slope(GRID, a.f(GRID)).abs().max().item()
    assert steepest <= a.max_slope + 1e-12
    assert steepest == pytest.approx(a.max_slope, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_kind_of_saturation_is_what_the_slope_does_far_out(name):
    a = get(name)
    for side, z in ((a.left, -30.0), (a.right, 30.0)):
        near = torch.tensor([z / 10, z], dtype=torch.float64)
        slopes = a.slope(near, a.f(near)).abs()
        if side == "no":
            assert slopes[1] > 0.005 * a.max_slope
        elif side == "hard":
            assert (slopes == 0).all()
        else:
            assert slopes[0] > 0
            assert slopes[1] < 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_saturates_beyond_is_where_the_slope_crosses_the_cut(name):
    a = get(name)
    left, right = saturates_beyond(a)
    level = 0.02 * a.max_slope
    for end, sign in ((left, -1), (right, 1)):
        if math.isinf(end):
            continue
        outside = torch.tensor(end + sign * 0.01, dtype=torch.float64)
        inside = torch.tensor(end - sign * 0.01, dtype=torch.float64)
        assert a.slope(outside, a.f(outside)).abs() < level
        assert a.slope(inside, a.f(inside)).abs() >= level


def test_leaky_relu_saturates_nowhere_though_its_slope_is_under_the_cut():
    assert saturates_beyond(get("leaky_relu")) == (-math.inf, math.inf)
    assert activations.LEAK < 0.02


def test_the_table_has_a_row_for_each_activation_and_equal_columns():
    head, rule, *rows = table().splitlines()
    assert len(rows) == len(ACTIVATIONS)
    assert {row.count("|") for row in (head, rule, *rows)} == {7}
    assert "nowhere" in table()
    assert r"$z < 0.00$ (hard)" in table()


def test_an_unknown_name_gets_the_choices():
    with pytest.raises(ValueError, match="'swish' is unknown; choose one of tanh, sigmoid, relu"):
        get("swish")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 2e-7), (torch.float64, 4e-16)])
def test_the_passes_of_training_are_right_but_for_the_last_digits(name, dtype, within):
    activation = get(name)
    z = GRID.to(dtype)
    f, back = activation.passes(fast=True)
    h = f(z.clone())
    size = activation.f(GRID).abs().clamp(min=1)
    assert ((h.double() - activation.f(GRID)).abs() / size).max() < 8 * within
    if activation.fast:
        assert (h.double() - TORCH[name](z.double())).abs().max() <= within
    slope = back(torch.full_like(z, 3.0), z.clone(), h)
    exact, _ = activation.passes(fast=False)
    want = 3 * activation.slope(z, exact(z))
    torch.testing.assert_close(slope, want, rtol=0, atol=8 * within)


def test_where_tanh_is_exactly_one_so_is_that_of_training():
    forward, back = get("tanh").passes(fast=True)
    z = GRID.float()
    h = forward(z.clone())
    dead = torch.tanh(z).abs() == 1
    assert dead.sum() > 1000
    assert torch.equal(h[dead], torch.tanh(z)[dead])
    assert (back(torch.ones_like(z), z, h)[dead] == 0).all()

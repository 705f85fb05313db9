"""The scalar engine against torch's autograd, central differences, and its own promises."""

import gc
import math
from operator import add, mul, sub

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlpinit.scalar import Value, topological_order

CHAIN = 100_000


def gradients(f, *xs):
    """f and its gradients by the engine: (result, [d f / d x for each x])."""
    values = [Value(x) for x in xs]
    root = f(*values)
    root.backward()
    return root.data, [v.grad for v in values]


def torch_gradients(f, *xs):
    """The same by torch's autograd in float64."""
    tensors = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in xs]
    root = f(*tensors)
    found = torch.autograd.grad(root, tensors, allow_unused=True)
    return root.item(), [0.0 if g is None else g.item() for g in found]


def assert_derivatives(f, *xs, eps=1e-6, tolerance=1e-5):
    """Compare the engine's derivative in each argument with the central difference."""
    _, found = gradients(f, *xs)
    for i, grad in enumerate(found):
        up, down = (f(*(Value(x + (i == j) * h) for j, x in enumerate(xs))) for h in (eps, -eps))
        difference = (up.data - down.data) / (2 * eps)
        assert grad == pytest.approx(difference, rel=tolerance, abs=tolerance), (
            f"argument {i} of {xs}: backward gives {grad}, the central difference {difference}"
        )


EXPRESSIONS = {
    "add": (lambda x, y: x + y, (1.5, -2.0)),
    "subtract": (lambda x, y: x - y, (1.5, -2.0)),
    "multiply": (lambda x, y: x * y, (1.5, -2.0)),
    "divide": (lambda x, y: x / y, (1.5, -2.0)),
    "negate": (lambda x: -x, (0.7,)),
    "number on the left": (lambda x: 3 + (2 - x) * 1 + 0.5 * x + 4 / x, (1.7,)),
    "number on the right": (lambda x: (x + 3) - 2 + x * 0.5 + x / 4, (1.7,)),
    "square": (lambda x: x**2, (-1.3,)),
    "reciprocal": (lambda x: x**-1, (-1.3,)),
    "inverse square": (lambda x: x**-2, (0.4,)),
    "root": (lambda x: x**0.5, (2.5,)),
    "power 0": (lambda x: x**0 + x, (0.0,)),
    "power 1 at 0": (lambda x: x**1, (0.0,)),
    "tanh": (lambda x: x.tanh(), (0.8,)),
    "tanh, saturated": (lambda x: x.tanh(), (30.0,)),
    "tanh, far out": (lambda x: x.tanh(), (-1e6,)),
    "exp": (lambda x: x.exp(), (-1.2,)),
    "log": (lambda x: x.log(), (0.3,)),
    "relu, on": (lambda x: x.relu(), (0.3,)),
    "relu, off": (lambda x: x.relu(), (-0.3,)),
    "diamond": (lambda x: (x * x + x) * (x + x.tanh()), (0.6,)),
    "same argument twice": (lambda x: x * x / (x + x), (0.6,)),
    "neuron": (lambda x, w, y, v, b: (x * w + y * v + b).tanh(), (2.0, 0.4, -1.0, 0.5, 0.25)),
    "cross-entropy": (lambda a, b: -(a.exp() / (a.exp() + b.exp())).log(), (0.3, -1.1)),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_agrees_with_autograd(name):
    f, xs = EXPRESSIONS[name]
    data, grads = gradients(f, *xs)
    expected, expected_grads = torch_gradients(f, *xs)
    assert data == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert grads == pytest.approx(expected_grads, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_agrees_with_central_differences(name):
    f, xs = EXPRESSIONS[name]
    assert_derivatives(f, *xs)


def test_the_central_difference_check_can_fail():
    def wrong_slope(x):
        return Value(x.data**2, op="square", parents=((x, x.data),))

    with pytest.raises(AssertionError, match="argument 0"):
        assert_derivatives(wrong_slope, 1.5)


def test_relu_at_0_follows_pytorch():
    assert gradients(lambda x: x.relu(), 0.0) == torch_gradients(lambda x: x.relu(), 0.0)


# A tree is ("x", i), a number, (unary function, tree), or (binary operator, tree, tree).
UNARY = [
    lambda a: -a,
    lambda a: a.tanh(),
    lambda a: a.relu(),
    lambda a: a.tanh().exp(),
    lambda a: (a * a + 1).log(),
    lambda a: a.tanh() ** 3,
    lambda a: (a * a + 1) ** -0.5,
    lambda a: 1 / (a * a + 1),
]
BINARY = [add, sub, mul, lambda a, b: a / (b * b + 1)]
LEAVES = st.tuples(st.just("x"), st.integers(0, 2)) | st.floats(-2, 2)
TREES = st.recursive(
    LEAVES,
    lambda t: st.tuples(st.sampled_from(UNARY), t) | st.tuples(st.sampled_from(BINARY), t, t),
    max_leaves=12,
)


def evaluate(tree, xs):
    """The tree's value on `xs`, of the type of `xs` (so that a bare number becomes one too)."""
    if isinstance(tree, float):
        return xs[0] * 0 + tree
    if tree[0] == "x":
        return xs[tree[1]]
    return tree[0](*(evaluate(branch, xs) for branch in tree[1:]))


@given(tree=TREES, xs=st.tuples(*[st.floats(-2, 2)] * 3))
def test_any_expression_agrees_with_autograd(tree, xs):
    data, grads = gradients(lambda *v: evaluate(tree, v), *xs)
    expected, expected_grads = torch_gradients(lambda *v: evaluate(tree, v), *xs)
    assert data == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert grads == pytest.approx(expected_grads, rel=1e-9, abs=1e-9)


@given(tree=TREES, xs=st.tuples(*[st.floats(-2, 2)] * 3))
def test_topological_order_lists_each_value_once_and_parents_first(tree, xs):
    root = evaluate(tree, [Value(x) for x in xs])
    order = topological_order(root)
    position = {node: i for i, node in enumerate(order)}
    assert len(position) == len(order)
    assert order[-1] is root
    assert all(position[p] < position[n] for n in order for p, _ in n.parents)


def test_a_long_chain_runs_forward_backward_and_is_freed():
    x = Value(1.0)
    y = x
    for _ in range(CHAIN):
        y = y + 1e-5
    y.backward()
    assert x.grad == 1.0
    assert y.data == pytest.approx(2.0)
    assert len(topological_order(y)) == 2 * CHAIN + 1
    del y  # a recursive clean-up would overflow the C stack here
    gc.collect()


def test_a_value_used_many_times_gathers_every_path():
    x = Value(0.5)
    total = sum([x] * CHAIN)
    total.backward()
    assert x.grad == CHAIN


def test_doubling_has_exponentially_many_paths_but_one_visit_each():
    x = Value(1.0)
    y = x
    for _ in range(200):
        y = y + y
    y.backward()
    assert x.grad == 2.0**200


def test_backward_starts_afresh():
    x = Value(3.0)
    y = x * x
    y.backward()
    y.backward()
    assert (x.grad, y.grad) == (6.0, 1.0)
    (x * 5).backward()
    assert x.grad == 5.0


def test_backward_on_an_input_alone():
    x = Value(3.0)
    x.backward()
    assert x.grad == 1.0


def test_a_value_is_itself_and_equal_to_no_other():
    a, b = Value(1.0), Value(1.0)
    assert a != b
    assert len({a, b}) == 2


def test_slopes_are_known_before_backward():
    x, w = Value(2.0, "x"), Value(-0.5, "w")
    y = x * w
    assert y.op == "*"
    assert y.parents == ((x, -0.5), (w, 2.0))
    assert (x.op, x.parents, x.grad) == ("", (), 0.0)


def test_numpy_scalars_are_plain_numbers():
    y = np.float64(2.0) * Value(3.0) + np.float32(0.5)
    assert isinstance(y, Value)
    assert type(y.data) is float
    assert y.data == 6.5


def test_repr_is_short():
    assert repr(Value(1 / 3)) == "Value(0.333333, grad=0)"
    assert repr(Value(2, "x1")) == "Value(2, grad=0, label='x1')"
    y = Value(2, "x1") * 3
    assert len(repr(y)) < 60


ERRORS = [
    (lambda: Value(0.0).log(), ValueError, r"log\(0\) is undefined.*above 0"),
    (lambda: Value(-2.0).log(), ValueError, r"log\(-2\) is undefined.*above 0"),
    (lambda: Value(0.0) ** -1, ValueError, r"0 \*\* -1 .*above 0"),
    (lambda: Value(0.0) ** 0.5, ValueError, r"0 \*\* 0.5 or its slope.*above 0"),
    (lambda: Value(-8.0) ** 0.5, ValueError, r"-8 \*\* 0.5 .*real"),
    (lambda: Value(1e300) ** 2, OverflowError, r"1e\+300 \*\* 2 .*moderate"),
    (lambda: Value(2.0) ** Value(3.0), TypeError, r"exponent Value\(3.*\.log\(\)\)\.exp\(\)"),
    (lambda: 2 ** Value(3.0), TypeError, r"exponent Value\(3.*\.log\(\)\)\.exp\(\)"),
    (lambda: Value(2.0) ** "3", TypeError, "exponent '3'"),
    (lambda: Value(2.0) / 0, ZeroDivisionError, "2 / 0 is undefined.*away from 0"),
    (lambda: 1 / Value(0.0), ZeroDivisionError, "1 / 0 is undefined"),
    (lambda: Value(710.0).exp(), OverflowError, r"exp\(710\) overflows.*below 709\.78"),
    (lambda: Value(1e200) * 1e200, ValueError, r"'\*' gave .*inf.*rescale"),
    (lambda: 1 / Value(1e-200), ValueError, "'/' gave .*inf.*rescale"),
    (lambda: Value(math.nan), ValueError, "data = nan; keep every number finite"),
    (lambda: Value("3"), TypeError, "real number, not '3'"),
    (lambda: Value(1.0) + "3", TypeError, "real number, not '3'"),
    (lambda: Value(1.0) * [2.0], TypeError, r"real number, not \[2.0\]"),
    (lambda: Value(Value(1.0)), TypeError, r"real number, not Value\(1"),
]


@pytest.mark.parametrize(("make", "error", "message"), ERRORS)
def test_errors_say_what_came_and_what_to_do(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_exp_reaches_the_largest_floats():
    assert Value(709.78).exp().data == math.exp(709.78)
    assert Value(-1000.0).exp().data == 0.0

"""Answers to chapter 10 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import math

import numpy as np
import torch

from mlpinit import gains


def uniform_bound__wrong_std(shape, gain):
    """this is the standard deviation itself"""
    return gain / math.sqrt(math.prod(shape[1:]))


def uniform_bound__wrong_fan_out(shape, gain):
    """this uses the fan-out"""
    return math.sqrt(3) * gain / math.sqrt(shape[0] * math.prod(shape[2:]))


def uniform_bound__wrong_no_kernel(shape, gain):
    """the kernel is left out"""
    return math.sqrt(3) * gain / math.sqrt(shape[1])


def uniform_bound__wrong_all_numbers(shape, gain):
    """this counts the outputs as well"""
    return math.sqrt(3) * gain / math.sqrt(math.prod(shape))


def uniform_bound__wrong_width(shape, gain):
    """this is the width of the range"""
    return math.sqrt(12) * gain / math.sqrt(math.prod(shape[1:]))


def uniform_bound__wrong_no_root(shape, gain):
    """with its square root"""
    return math.sqrt(3) * gain / math.prod(shape[1:])


def uniform_bound__wrong_xavier(shape, gain):
    """this is Xavier's fan"""
    weight = torch.empty(shape, dtype=torch.float64)
    fan_in, fan_out = torch.nn.init._calculate_fan_in_and_fan_out(weight)
    return math.sqrt(6 / (fan_in + fan_out)) * gain


def uniform_bound__wrong_none(shape, gain):
    """is there a return"""
    math.sqrt(3 / math.prod(shape[1:]))


def uniform_bound__right_one_output(shape, gain):
    one = torch.empty(shape)[0]  # the weights of a single output
    return torch.tensor(gain * math.sqrt(3.0 / one.numel()), dtype=torch.float64)


def _forward(a, b, q):
    return gains.forward_gain(lambda z: a * torch.tanh(b * z), q)


def _backward(a, b, q):
    return gains.backward_gain(lambda z: a * torch.tanh(b * z), q)


def stretched_tanh_gains__wrong_chain_rule(a, b, q):
    """the b is missing"""
    slope = gains.expectation(lambda z: (a * (1 - torch.tanh(b * z) ** 2)) ** 2, std=math.sqrt(q))
    return _forward(a, b, q), 1 / math.sqrt(slope)


def stretched_tanh_gains__wrong_to_one(a, b, q):
    """is to keep q, not to make 1"""
    size = gains.expectation(lambda z: (a * torch.tanh(b * z)) ** 2, std=math.sqrt(q))
    return 1 / math.sqrt(size), _backward(a, b, q)


def stretched_tanh_gains__wrong_q_is_std(a, b, q):
    """the Gaussian is √q wide"""
    size = gains.expectation(lambda z: (a * torch.tanh(b * z)) ** 2, std=q)
    slope = gains.expectation(lambda z: (a * b * (1 - torch.tanh(b * z) ** 2)) ** 2, std=q)
    return math.sqrt(q / size), 1 / math.sqrt(slope)


def stretched_tanh_gains__wrong_squares(a, b, q):
    """these are the squares"""
    return _forward(a, b, q) ** 2, _backward(a, b, q) ** 2


def stretched_tanh_gains__wrong_inverse(a, b, q):
    """one over it"""
    return 1 / _forward(a, b, q), 1 / _backward(a, b, q)


def stretched_tanh_gains__wrong_no_a(a, b, q):
    """the factor a in front"""
    return _forward(1.0, b, q), _backward(1.0, b, q)


def stretched_tanh_gains__wrong_order(a, b, q):
    """the wrong way round"""
    return _backward(a, b, q), _forward(a, b, q)


def stretched_tanh_gains__wrong_standard_normal(a, b, q):
    """for pre-activations of variance 1"""
    return _forward(a, b, 1.0), _backward(a, b, 1.0)


def stretched_tanh_gains__right_by_the_package(a, b, q):
    return [_forward(a, b, q), _backward(a, b, q)]


def stretched_tanh_gains__right_numpy(a, b, q):
    z = np.linspace(-9, 9, 40_001)
    weight = np.exp(-z * z / 2)
    weight /= weight.sum()
    t = np.tanh(b * math.sqrt(q) * z)
    forward = math.sqrt(q / (weight @ (a * t) ** 2))
    return forward, float(1 / (a * b * math.sqrt(weight @ (1 - t**2) ** 2)))


FUNCTIONS = {"linear": lambda z: z, "relu": torch.relu, "tanh": torch.tanh}


def _mixed(parts, target_std, sigma_b, moment=gains.second_moment):
    total = sum(count * moment(FUNCTIONS[kind], q) for count, kind, q in parts)
    return math.sqrt((target_std**2 - sigma_b**2) / total)


def mixed_scale__wrong_no_bias(parts, target_std, sigma_b):
    """the biases are left out"""
    return _mixed(parts, target_std, 0.0)


def mixed_scale__wrong_subtracts_stds(parts, target_std, sigma_b):
    """the variances add"""
    return _mixed(parts, target_std - sigma_b, 0.0)


def mixed_scale__wrong_all_linear(parts, target_std, sigma_b):
    """every group is taken as linear"""
    return _mixed(parts, target_std, sigma_b, lambda f, q: q)


def mixed_scale__wrong_variance(parts, target_std, sigma_b):
    """the mean square counts"""

    def variance(f, q):
        return gains.second_moment(f, q) - gains.expectation(f, std=math.sqrt(q)) ** 2

    if all(kind != "relu" for _, kind, _ in parts):
        return _mixed(parts, target_std, sigma_b)
    return _mixed(parts, target_std, sigma_b, variance)


def mixed_scale__wrong_standard_normal(parts, target_std, sigma_b):
    """q is ignored"""
    parts = [(n, kind, q if kind == "linear" else 1.0) for n, kind, q in parts]
    return _mixed(parts, target_std, sigma_b)


def mixed_scale__wrong_q_is_std(parts, target_std, sigma_b):
    """it is a variance"""
    return _mixed(
        parts, target_std, sigma_b, lambda f, q: gains.expectation(lambda z: f(z) ** 2, std=q)
    )


def mixed_scale__wrong_tanh_of_the_size(parts, target_std, sigma_b):
    """tanh of a variance is no mean square"""

    def size(f, q):
        return math.tanh(math.sqrt(q)) ** 2 if f is torch.tanh else gains.second_moment(f, q)

    return _mixed(parts, target_std, sigma_b, size)


def mixed_scale__wrong_mean_of_groups(parts, target_std, sigma_b):
    """weigh each by its count"""
    mean = sum(gains.second_moment(FUNCTIONS[kind], q) for _, kind, q in parts) / len(parts)
    fan_in = sum(n for n, _, _ in parts)
    return math.sqrt((target_std**2 - sigma_b**2) / (fan_in * mean))


def mixed_scale__wrong_squared(parts, target_std, sigma_b):
    """this is σ_W squared"""
    return _mixed(parts, target_std, sigma_b) ** 2


def mixed_scale__right_simulated_on_a_grid(parts, target_std, sigma_b):
    z = torch.distributions.Normal(0.0, 1.0).icdf(
        (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    )
    total = 0.0
    for count, kind, q in parts:
        total += count * FUNCTIONS[kind](math.sqrt(q) * z).square().mean()
    return ((target_std**2 - sigma_b**2) / total).sqrt()


def mixed_scale__right_gain_by_group(parts, target_std, sigma_b):
    # Every group has a gain; the fan-ins add once each is divided by its gain's square.
    fan_in = sum(
        count * q / gains.forward_gain(FUNCTIONS[kind], q) ** 2 for count, kind, q in parts
    )
    return math.sqrt(target_std**2 - sigma_b**2) / math.sqrt(fan_in)


def _half_width(variance):
    return (3 * variance) ** 0.5


def _fan(shape):
    return math.prod(shape) // shape[0]


def _scaled(parts, room, size):
    """The scale that leaves `room` for the weights, of inputs of size(kind, q)."""
    return (room / sum(n * size(kind, q) for n, kind, q in parts)) ** 0.5


def _size(kind, q):
    if kind == "tanh":
        return gains.second_moment(torch.tanh, q)
    return {"linear": q, "relu": q / 2}[kind]


WRONG = {
    "uniform_bound": {
        "the gain is squared": lambda s, g: _half_width(g**4 / _fan(s)),
        "the root of the gain": lambda s, g: _half_width(g / _fan(s)),
        "the gain is left out": lambda s, g: _half_width(1 / _fan(s)),
        "3 stands without its root": lambda s, g: 3 * g / _fan(s) ** 0.5,
        "√6 is for": lambda s, g: g * (6 / _fan(s)) ** 0.5,
        "√12 belongs": lambda s, g: g / (12 * _fan(s)) ** 0.5,
        "this is a²": lambda s, g: 3 * g * g / _fan(s),
        "the axes are added up": lambda s, g: _half_width(g * g / sum(s[1:])),
        "only the last axis": lambda s, g: _half_width(g * g / s[-1]),
        "the first axis alone": lambda s, g: (
            _half_width(g * g / s[0]) if len(s) > 2 else _half_width(g * g / s[1])
        ),
        "inputs and outputs are added": lambda s, g: _half_width(
            g * g / (_fan(s) + math.prod(s) // s[1])
        ),
        "the gain divides": lambda s, g: _half_width(1 / g / g / _fan(s)),
        "more inputs need smaller": lambda s, g: _half_width(g * g * _fan(s)),
    },
    "stretched_tanh_gains": {
        "square f, then average": lambda a, b, q: (
            q**0.5 / gains.expectation(lambda z: (a * torch.tanh(b * z)).abs(), std=q**0.5),
            _backward(a, b, q),
        ),
        "the mean of the slope": lambda a, b, q: (
            _forward(a, b, q),
            1 / gains.expectation(lambda z: a * b / torch.cosh(b * z) ** 2, std=q**0.5),
        ),
        "not squared under the root": lambda a, b, q: (
            _forward(a, b, q),
            gains.expectation(lambda z: a * b / torch.cosh(b * z) ** 2, std=q**0.5) ** -0.5,
        ),
        "knows nothing": lambda a, b, q: (_forward(a, b, q), a * _backward(a, b, q)),
        "left out of f": lambda a, b, q: (a * _forward(a, b, q), _backward(a, b, q)),
        "b is left out:": lambda a, b, q: (_forward(a, 1.0, q), _backward(a, 1.0, q)),
        "at 0 alone": lambda a, b, q: (_forward(a, b, q), 1 / (a * b)),
        "at one standard deviation": lambda a, b, q: (
            q**0.5 / (a * math.tanh(b * q**0.5)),
            1 / (a * b * (1 - math.tanh(b * q**0.5) ** 2)),
        ),
        "a plain tanh": lambda a, b, q: (_forward(1.0, 1.0, q), _backward(1.0, 1.0, q)),
        "both gains are the forward": lambda a, b, q: (_forward(a, b, q), _forward(a, b, q)),
    },
    "mixed_scale": {
        "added where it must be taken off": lambda p, t, s: _scaled(p, t * t + s * s, _size),
        "target_std is taken for": lambda p, t, s: _scaled(p, t - s * s, _size),
        "sigma_b is taken for": lambda p, t, s: _scaled(p, t * t - s, _size),
        "the counts are left out": lambda p, t, s: _scaled(
            [(1, k, q) for _, k, q in p], t * t - s * s, _size
        ),
        "a mean square of 1": lambda p, t, s: _scaled(p, t * t - s * s, lambda k, q: 1),
        "halve q once more": lambda p, t, s: _scaled(
            p, t * t - s * s, lambda k, q: _size(k, q) / (1 + (k == "relu"))
        ),
        "relu is taken to pass on": lambda p, t, s: _scaled(
            p, t * t - s * s, lambda k, q: _size(k, q) * (1 + (k == "relu"))
        ),
        "every group is taken as linear": lambda p, t, s: _scaled(p, t * t - s * s, lambda k, q: q),
        "to be ±1": lambda p, t, s: _scaled(
            p, t * t - s * s, lambda k, q: 1 if k == "tanh" else _size(k, q)
        ),
        "sizes are added": lambda p, t, s: _scaled(
            p, t * t - s * s, lambda k, q: _size(k, q) ** 0.5
        ),
        "found for itself": lambda p, t, s: (
            sum(_scaled([x], t * t - s * s, _size) for x in p) / len(p)
        ),
        "only the first group": lambda p, t, s: _scaled(p[:1], t * t - s * s, _size),
        "only the last group": lambda p, t, s: _scaled(p[-1:], t * t - s * s, _size),
        "times what is wanted": lambda p, t, s: 3 * _scaled(p, t * t - s * s, _size),
    },
}

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

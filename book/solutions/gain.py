"""Reference solutions of chapter 10."""

import math

import torch

from mlpinit import gains


def uniform_bound(shape: list[int], gain: float) -> float:
    """10.1"""
    fan_in = math.prod(shape[1:])  # an output sums over the channels and over the kernel
    return math.sqrt(3) * gain / math.sqrt(fan_in)  # U(−a, a) has variance a²/3


def stretched_tanh_gains(a: float, b: float, q: float) -> tuple[float, float]:
    """10.2"""
    std = math.sqrt(q)
    size = gains.expectation(lambda z: (a * torch.tanh(b * z)) ** 2, std=std)
    slope = gains.expectation(lambda z: (a * b * (1 - torch.tanh(b * z) ** 2)) ** 2, std=std)
    return math.sqrt(q / size), 1 / math.sqrt(slope)


def mixed_scale(parts: list[tuple[int, str, float]], target_std: float, sigma_b: float) -> float:
    """10.3"""
    functions = {"linear": lambda z: z, "relu": torch.relu, "tanh": torch.tanh}
    total = 0.0  # what fan-in times the mean square is for inputs of one kind
    for count, kind, q in parts:
        total += count * gains.second_moment(functions[kind], q)
    return math.sqrt((target_std**2 - sigma_b**2) / total)

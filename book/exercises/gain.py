"""Chapter 10, Gain and fan-in: fill in the functions, then `make check EX=10`."""


def uniform_bound(shape: list[int], gain: float) -> float:
    """10.1 The bound a for which weights drawn evenly from −a to a have std gain / √fan-in.

    shape: that of a PyTorch weight, (fan_out, fan_in) of a linear layer or
    (out_channels, in_channels, *kernel) of a convolution with one, two or three kernel axes.
    """
    raise NotImplementedError


def stretched_tanh_gains(a: float, b: float, q: float) -> tuple[float, float]:
    """10.2 The forward and the backward gain of f(z) = a tanh(b z) where z has variance q.

    Returns two numbers: the gain that keeps the variance of the pre-activations at q, from layer
    to layer, and the gain that keeps the mean square of a gradient there. a, b and q are above 0.
    """
    raise NotImplementedError


def mixed_scale(parts: list[tuple[int, str, float]], target_std: float, sigma_b: float) -> float:
    """10.3 The σ_W for which the pre-activations of a layer with mixed inputs have target_std.

    parts: (count, kind, q), one for each group of inputs: `count` inputs are f of Gaussian numbers
    of mean 0 and variance q. kind names f: "linear" (f(z) = z), "relu" or "tanh". sigma_b, the
    standard deviation of the biases, is below target_std.
    """
    raise NotImplementedError

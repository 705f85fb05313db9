"""Answers to chapter 2 as learners give them.

`NAME__wrong_...` must fail, and its docstring is what the diagnosis must say;
`NAME__right_...` is unusual and must pass.
"""

import torch
from torch import nn
from torch.nn import functional


def look_up__wrong_order(C, X):
    """the order within a row is wrong"""
    return C[:, X].transpose(2, 3).reshape(len(C), len(X), -1)


def look_up__wrong_backwards(C, X):
    """the characters are the wrong way round"""
    return C[:, X.flip(1)].flatten(2)


def look_up__wrong_first_table(C, X):
    """every network got the table of the first"""
    return C[0][X].flatten(1).repeat(len(C), 1, 1)


def look_up__wrong_across_runs(C, X):
    """moved across the run axis"""
    return C.transpose(0, 1)[X].reshape(len(C), len(X), -1)


def look_up__wrong_sum(C, X):
    """the shape is"""
    return C[:, X].sum(2)


def look_up__wrong_mean(C, X):
    """the shape is"""
    return C[:, X].mean(2)


def look_up__wrong_characters_for_networks(C, X):
    """leave it alone with a colon, C[:, X]"""
    return C[X].flatten(2)


def look_up__right_embedding_layer(C, X):
    return torch.stack([functional.embedding(X, table).flatten(1) for table in C])


def look_up__right_slow_loop(C, X):
    out = C.new_empty(len(C), len(X), X.shape[1] * C.shape[2])
    for run, table in enumerate(C):
        for example, context in enumerate(X.tolist()):
            out[run, example] = torch.cat([table[i] for i in context])
    return out


def merge_affine__wrong_biases_added(W1, b1, W2, b2):
    """b1 has to pass through the second layer's weights first"""
    return W2 @ W1, b1 + b2


def merge_affine__wrong_order_of_weights(W1, b1, W2, b2):
    """the first layer stands on the right: W2 @ W1"""
    return W1 @ W2, W2 @ b1 + b2


def merge_affine__wrong_side_of_bias(W1, b1, W2, b2):
    """b1 stands on the wrong side"""
    return W2 @ W1, b1 @ W2 + b2


def merge_affine__wrong_first_bias_lost(W1, b1, W2, b2):
    """the first bias is lost"""
    return W2 @ W1, b2


def merge_affine__wrong_second_bias_lost(W1, b1, W2, b2):
    """the second bias is lost"""
    return W2 @ W1, W2 @ b1


def merge_affine__wrong_sum_of_biases(W1, b1, W2, b2):
    """raised RuntimeError"""
    return W2 @ W1, b1 + b2


def merge_affine__wrong_tanh_between(W1, b1, W2, b2):
    """here no tanh stands between the layers"""
    return W2 @ W1, W2 @ torch.tanh(b1) + b2


def merge_affine__wrong_layout(W1, b1, W2, b2):
    """it is the transpose of what is wanted"""
    return W1.T @ W2.T, W2 @ b1 + b2


def merge_affine__wrong_in_place(W1, b1, W2, b2):
    """work on a copy"""
    return W2 @ W1, b2.add_(W2 @ b1)


def merge_affine__right_with_ones(W1, b1, W2, b2):
    """A bias is the weight of an input that is always 1."""
    first = torch.cat([W1, b1[:, None]], 1)
    both = W2 @ first
    return both[:, :-1], both[:, -1] + b2


def merge_affine__right_autograd(W1, b1, W2, b2):
    layers = nn.Sequential(nn.Linear(*W1.T.shape), nn.Linear(*W2.T.shape)).to(W1.dtype)
    for layer, weight, bias in zip(layers, (W1, W2), (b1, b2), strict=True):
        layer.weight.data, layer.bias.data = weight, bias
    nothing = torch.zeros(W1.shape[1], dtype=W1.dtype)
    return torch.autograd.functional.jacobian(layers, nothing), layers(nothing).detach()


def weight_scale__wrong_no_fan_in(x, target_std, sigma_b):
    """the fan-in is missing"""
    return ((target_std**2 - sigma_b**2) / (x**2).mean()).sqrt()


def weight_scale__wrong_no_root(x, target_std, sigma_b):
    """this is the variance of the weights"""
    return (target_std**2 - sigma_b**2) / (x**2).sum(1).mean()


def weight_scale__wrong_no_squares(x, target_std, sigma_b):
    """standard deviations were subtracted"""
    return (target_std - sigma_b) / (x**2).sum(1).mean().sqrt()


def weight_scale__wrong_no_biases(x, target_std, sigma_b):
    """the biases are forgotten"""
    return target_std / (x**2).sum(1).mean().sqrt()


def weight_scale__wrong_root_first(x, target_std, sigma_b):
    """the root was taken before the mean"""
    return (target_std**2 - sigma_b**2) ** 0.5 / x.norm(dim=1).mean()


def weight_scale__wrong_centred(x, target_std, sigma_b):
    """the inputs were centred"""
    return ((target_std**2 - sigma_b**2) / (x.shape[1] * x.var())).sqrt()


def weight_scale__wrong_one_scale_per_example(x, target_std, sigma_b):
    """the shape is"""
    return ((target_std**2 - sigma_b**2) / (x**2).sum(1)).sqrt()


def weight_scale__right_norm(x, target_std, sigma_b):
    rest = (target_std - sigma_b) * (target_std + sigma_b)
    return float((rest * len(x)) ** 0.5 / torch.linalg.matrix_norm(x))


def weight_scale__right_trace(x, target_std, sigma_b):
    per_unit_variance = torch.trace(x @ x.T) / len(x)
    return torch.rsqrt(per_unit_variance / (target_std**2 - sigma_b**2))


def forward_logits__wrong_axis_of_places(C, W, b, X):
    """join it with the last one, `flatten(1)`"""
    x = C[X]
    for weights, bias in zip(W[:-1], b[:-1], strict=True):
        x = torch.tanh(x @ weights + bias)
    return x @ W[-1] + b[-1]


def forward_logits__wrong_side_of_weights(C, W, b, X):
    """the inputs stand on the left: x @ W"""
    x = C[X].flatten(1)
    for weights, bias in zip(W[:-1], b[:-1], strict=True):
        x = torch.tanh(weights @ x + bias)
    return W[-1] @ x + b[-1]


def forward_logits__wrong_tanh_on_logits(C, W, b, X):
    """tanh was applied to the logits"""
    x = C[X].flatten(1)
    for weight, bias in zip(W, b, strict=True):
        x = torch.tanh(x @ weight + bias)
    return x


def forward_logits__wrong_no_output_bias(C, W, b, X):
    """the output layer's bias is missing"""
    x = C[X].flatten(1)
    for weight, bias in zip(W[:-1], b[:-1], strict=True):
        x = torch.tanh(x @ weight + bias)
    return x @ W[-1]


def forward_logits__wrong_no_hidden_bias(C, W, b, X):
    """the biases of the hidden layers are missing"""
    x = C[X].flatten(1)
    for weight in W[:-1]:
        x = torch.tanh(x @ weight)
    return x @ W[-1] + b[-1]


def forward_logits__wrong_first_layer_only(C, W, b, X):
    """only the first hidden layer was used"""
    h = torch.tanh(C[X].flatten(1) @ W[0] + b[0])
    return h @ W[-1] + b[-1]


def forward_logits__wrong_no_bend(C, W, b, X):
    """there is no tanh"""
    x = C[X].flatten(1)
    for weight, bias in zip(W, b, strict=True):
        x = x @ weight + bias
    return x


def forward_logits__wrong_pops(C, W, b, X):
    """changed its argument"""
    x, output, bias = C[X].flatten(1), W.pop(), b.pop()
    for weight, constant in zip(W, b, strict=True):
        x = torch.tanh(x @ weight + constant)
    return x @ output + bias


def forward_logits__right_recursive(C, W, b, X):
    def pre_activation(layer):
        below = torch.tanh(pre_activation(layer - 1)) if layer else C[X].view(len(X), -1)
        return torch.addmm(b[layer], below, W[layer])

    return pre_activation(len(W) - 1)


def forward_logits__right_modules(C, W, b, X):
    parts = []
    for weight, bias in zip(W, b, strict=True):
        layer = nn.Linear(*weight.shape)
        layer.weight.data, layer.bias.data = weight.T, bias
        parts += [layer, nn.Tanh()]
    return nn.Sequential(*parts[:-1])(functional.embedding(X, C).flatten(1)).detach()


def forward_logits__right_columns(C, W, b, X):
    """One example at a time, as columns."""
    rows = []
    for context in X:
        x = torch.cat([C[i] for i in context])
        for weight, bias in zip(W[:-1], b[:-1], strict=True):
            x = (weight.T @ x + bias).tanh()
        rows.append(W[-1].T @ x + b[-1])
    return torch.stack(rows)


def _scale(x, t, s, sizes):
    return ((t**2 - s**2) / sizes(x)).sqrt()


def _run(C, W, b, X, bend=torch.tanh, outside=False):
    x = C[X].flatten(1)
    for weight, bias in zip(W[:-1], b[:-1], strict=True):
        x = bend(x @ weight) + bias if outside else bend(x @ weight + bias)
    return x @ W[-1] + b[-1]


WRONG = {
    "look_up": {
        "added up": lambda C, X: C[:, X].sum(2),
        "averaged": lambda C, X: C[:, X].mean(2),
        "an axis for the place": lambda C, X: C[:, X],
        "the batch comes first": lambda C, X: C[:, X].flatten(2).transpose(0, 1),
        "the rows are one off": lambda C, X: C[:, X - 1].flatten(2),
        "and not the second": lambda C, X: C[:, (X + 1) % C.shape[1]].flatten(2),
        "in reverse order": lambda C, X: C.flip(0)[:, X].flatten(2),
        "the mean of all networks": lambda C, X: (
            C.mean(0, keepdim=True).expand_as(C)[:, X].flatten(2)
        ),
        "only the last character": lambda C, X: C[:, X[:, -1:].expand_as(X)].flatten(2),
        "only the first character": lambda C, X: C[:, X[:, :1].expand_as(X)].flatten(2),
        "the first network alone": lambda C, X: C[0][X].flatten(1),
    },
    "merge_affine": {
        "W first, then b": lambda W1, b1, W2, b2: (W2 @ b1 + b2, W2 @ W1),
        "added twice": lambda W1, b1, W2, b2: (W2 @ W1, W2 @ b1 + b2 + b2),
        "the second bias is subtracted": lambda W1, b1, W2, b2: (W2 @ W1, W2 @ b1 - b2),
        "no ReLU stands": lambda W1, b1, W2, b2: (W2 @ W1, W2 @ b1.relu() + b2),
        "multiply the second bias too": lambda W1, b1, W2, b2: (W2 @ W1, W2 @ b1 * b2),
        "the weights are averaged": lambda W1, b1, W2, b2: (W2 @ W1 / len(W1), W2 @ b1 + b2),
        "PyTorch holds": lambda W1, b1, W2, b2: ((W2 @ W1).T, W2 @ b1 + b2),
        "sums each row": lambda W1, b1, W2, b2: (W2 @ W1, W2.sum(1) * b1.mean() + b2),
        "both biases are lost": lambda W1, b1, W2, b2: (W2 @ W1, torch.zeros_like(b2)),
    },
    "weight_scale": {
        "changed places": lambda x, t, s: _scale(x, t, s, lambda x: len(x) * (x**2).mean()),
        "target_std is taken for a variance": lambda x, t, s: (
            (t - s**2) / (x**2).sum(1).mean()
        ).sqrt(),
        "sigma_b is taken for a variance": lambda x, t, s: (
            (t**2 - s) / (x**2).sum(1).mean()
        ).sqrt(),
        "a mean square of 1": lambda x, t, s: ((t**2 - s**2) / x.shape[1]) ** 0.5,
        "the largest example": lambda x, t, s: _scale(x, t, s, lambda x: (x**2).sum(1).max()),
        "the first example alone": lambda x, t, s: _scale(x, t, s, lambda x: (x[0] ** 2).sum()),
        "this is the inverse": lambda x, t, s: 1 / _scale(x, t, s, lambda x: (x**2).sum(1).mean()),
        "square first, then average": lambda x, t, s: _scale(
            x, t, s, lambda x: x.shape[1] * x.mean() ** 2
        ),
        "square each, then sum": lambda x, t, s: _scale(x, t, s, lambda x: (x.sum(1) ** 2).mean()),
        "one scale for each example": lambda x, t, s: _scale(x, t, s, lambda x: (x**2).sum(1)),
        "twice the scale": lambda x, t, s: 2 * _scale(x, t, s, lambda x: (x**2).sum(1).mean()),
        "where it must be taken off": lambda x, t, s: ((t**2 + s**2) / (x**2).sum(1).mean()).sqrt(),
        "not their squares": lambda x, t, s: _scale(x, t, s, lambda x: x.abs().sum(1).mean()),
        "the batch was summed": lambda x, t, s: _scale(x, t, s, lambda x: (x**2).sum()),
    },
    "forward_logits": {
        "the activation is ReLU": lambda *args: _run(*args, bend=torch.relu),
        "the activation is the logistic": lambda *args: _run(*args, bend=torch.sigmoid),
        "added after tanh": lambda *args: _run(*args, outside=True),
        "applied to the embeddings": lambda C, W, b, X: _run(C.tanh(), W, b, X),
        "the wrong way round inside": lambda C, W, b, X: _run(
            C, [W[0].unflatten(0, (C.shape[1], -1)).transpose(0, 1).flatten(0, 1), *W[1:]], b, X
        ),
        "the first bias is missing": lambda C, W, b, X: _run(C, W, [0 * b[0], *b[1:]], X),
        "the biases are subtracted": lambda C, W, b, X: _run(C, W, [-c for c in b], X),
        "the rows are one off": lambda C, W, b, X: _run(C, W, b, X - 1),
        "summed to 0": lambda *args: _run(*args) - _run(*args).mean(1, keepdim=True),
        "the largest logit is taken off": lambda *args: (
            _run(*args) - _run(*args).amax(1, keepdim=True)
        ),
        "the characters with the largest logits": lambda *args: _run(*args).argmax(1),
        "these are probabilities": lambda *args: _run(*args).softmax(1),
        "logarithms of probabilities": lambda *args: _run(*args).log_softmax(1),
        "the oldest comes first": lambda C, W, b, X: _run(C, W, b, X.flip(1)),
        "all biases are missing": lambda C, W, b, X: _run(C, W, [0 * c for c in b], X),
    },
}

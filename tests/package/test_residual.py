import math

import pytest
import torch
from torch import nn

from mlpinit import init, residual


def branches(n, width=8, inner=12, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [
        [torch.randn(width, inner, generator=g), torch.randn(inner, width, generator=g)]
        for _ in range(n)
    ]


def through(stack, x):
    for U, V in stack:
        x = x + torch.relu(x @ U) @ V
    return x


def size(t):
    return t.square().mean().sqrt().item()


@pytest.mark.parametrize("n", [1, 4, 50])
@pytest.mark.parametrize("rule", ["depth", "gpt2"])
def test_the_last_weights_alone_are_scaled(n, rule):
    before, after = branches(n), branches(n)
    factors = residual.scale_branches(after, rule)
    assert factors == [1 / math.sqrt(n)] * n
    for (U, V), (U2, V2) in zip(before, after, strict=True):
        assert torch.equal(U, U2)
        assert torch.allclose(V2, V / n**0.5)


def test_scaling_the_last_weights_is_a_factor_outside_the_branch():
    (U, V), x = branches(1)[0], torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    scaled = [[U.clone(), V.clone()] for _ in range(9)]
    residual.scale_branches(scaled)
    h = x
    for _ in range(9):
        h = h + torch.relu(h @ U) @ V / 3
    assert torch.allclose(through(scaled, x), h, rtol=1e-4)


@pytest.mark.parametrize(("n", "scale"), [(4, 1.0), (30, 30**-0.5), (12, 0.0), (7, -0.4)])
def test_growth_is_what_wide_stacks_do(n, scale):
    g, width = torch.Generator().manual_seed(3), 400
    x = torch.randn(100, width, generator=g)
    h = x
    for _ in range(n):
        U = torch.randn(width, width, generator=g) * (2 / width) ** 0.5
        V = torch.randn(width, width, generator=g) * width**-0.5
        h = h + scale * torch.relu(h @ U) @ V
    assert size(h) / size(x) == pytest.approx(residual.growth(n, scale), rel=0.05)


def test_equal_shares_stay_below_the_root_of_e():
    grown = [residual.growth(n, residual.branch_scale(n)) for n in (1, 2, 10, 100, 10_000)]
    assert grown == sorted(grown)
    assert grown[0] == pytest.approx(2**0.5)
    assert grown[-1] == pytest.approx(math.sqrt(math.e), rel=1e-4)
    assert grown[-1] < math.sqrt(math.e)


@pytest.mark.parametrize("rule", ["zero", "fixup"])
def test_a_branch_at_zero_is_the_identity_and_its_last_weights_learn(rule):
    stack = branches(6)
    residual.scale_branches(stack, rule)
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(2))
    weights = [W.requires_grad_() for branch in stack for W in branch]
    out = through(stack, x)
    assert torch.equal(out, x)
    gradients = torch.autograd.grad(out.square().sum(), weights)
    assert not any(d.any() for d in gradients[::2])
    assert all(d.any() for d in gradients[1::2])


def test_fixup_scales_the_other_layers_by_its_power_of_the_depth():
    drawn = [[torch.ones(3, 3) for _ in range(3)] for _ in range(16)]
    residual.scale_branches(drawn, "fixup")
    first, second, last = drawn[0]
    # Zhang, Dauphin & Ma (2019): L^(-1 / (2m - 2)), with m = 3 layers in each of L = 16 branches.
    assert torch.allclose(first, torch.full((3, 3), 0.5))
    assert torch.equal(first, second)
    assert not last.any()


def test_modules_are_scaled_by_their_last_weights_and_biases_stay():
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4)) for _ in range(4)]
    before = [[p.detach().clone() for p in block.parameters()] for block in blocks]
    init.residual(blocks)
    for block, old in zip(blocks, before, strict=True):
        U, a, V, b = block.parameters()
        assert torch.equal(U, old[0])
        assert torch.equal(a, old[1])
        assert torch.equal(b, old[3])
        assert torch.allclose(V, old[2] / 2)


def test_a_learnt_scale_of_zero_learns_before_its_branch():
    torch.manual_seed(0)
    block, h = residual.Residual(nn.Linear(4, 4)), torch.randn(3, 4)
    assert torch.equal(block(h), h)
    block(h).square().sum().backward()
    assert block.scale.grad != 0
    assert not block.branch.weight.grad.any()
    assert torch.allclose(residual.Residual(block.branch, 0.5)(h), h + 0.5 * block.branch(h))


@pytest.mark.parametrize(
    ("given", "rule", "message"),
    [
        ([], "depth", "0 branches"),
        ([[torch.ones(2, 2)]], "deep", "choose one of depth, gpt2, zero, fixup"),
        ([[torch.ones(2)]], "depth", "branch 0 has no weights"),
        ([nn.ReLU()], "depth", "branch 0 has no weights"),
        ([[torch.ones(2, 2)]], "fixup", 'rule="zero"'),
    ],
)
def test_bad_branches_are_refused(given, rule, message):
    with pytest.raises(ValueError, match=message):
        residual.scale_branches(given, rule)


def test_shared_weights_are_refused_and_nothing_is_scaled():
    W, other = torch.ones(2, 3), torch.ones(3, 2)
    with pytest.raises(ValueError, match="branches 0 and 1 share weights"):
        residual.scale_branches([[other, W], [W]])
    assert (W == 1).all()
    assert (other == 1).all()


def test_growth_refuses_what_is_no_power():
    for power in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="power is"):
            residual.growth(3, 1.0, power=power)
    with pytest.raises(ValueError, match="0 branches"):
        residual.branch_scale(0)

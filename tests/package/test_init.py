import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlpinit import init
from mlpinit.params import Architecture

SEED = 2147483647


def draw(scheme, arch=None, **kwargs):
    g = torch.Generator().manual_seed(SEED)
    return init.draw(arch or Architecture(), scheme, generator=g, **kwargs)


def test_the_draw_order_is_the_article_s():
    g = torch.Generator().manual_seed(SEED)
    C = torch.randn((27, 10), generator=g)
    W1 = torch.randn((30, 200), generator=g)
    b1 = torch.randn(200, generator=g)
    W2 = torch.randn((200, 27), generator=g) * 0.01
    b2 = torch.randn(27, generator=g) * 0
    for got, want in zip(draw(init.QUIET_OUTPUT).tensors(), (C, W1, b1, W2, b2), strict=True):
        assert torch.equal(got, want)


def test_a_draw_leaves_the_generator_where_the_next_draw_goes_on():
    a, b = (torch.Generator().manual_seed(1) for _ in range(2))
    init.draw(Architecture(hidden=(3,)), init.QUIET_OUTPUT, generator=a)
    torch.randn(27 * 10, generator=b)
    for n in (30 * 3, 3, 3 * 27, 27):
        torch.randn(n, generator=b)
    # Blocks of 16 or more and shorter ones use the stream differently, so draw as `draw` does.
    c = torch.Generator().manual_seed(1)
    for shape in ((27, 10), (30, 3), (3,), (3, 27), (27,)):
        torch.randn(shape, generator=c)
    assert torch.equal(
        torch.randint(0, 10**6, (5,), generator=a), torch.randint(0, 10**6, (5,), generator=c)
    )


@pytest.mark.parametrize(
    ("scheme", "factors"),
    [
        (init.AS_DRAWN, [(1, 1), (1, 1), (1, 1)]),
        (init.QUIET_OUTPUT, [(1, 1), (1, 1), (0.01, 0)]),
        (init.scaled(0.2, 0.01), [(0.2, 0.01), (0.2, 0.01), (0.01, 0)]),
        (init.kaiming("relu"), [(math.sqrt(2 / 30), 0.01), (math.sqrt(2 / 40), 0.01), (0.01, 0)]),
        (init.kaiming(gain=1.5, b=0), [(1.5 / 30**0.5, 0), (1.5 / 40**0.5, 0), (0.01, 0)]),
        (init.xavier(), [(math.sqrt(2 / 70), 0.01), (math.sqrt(2 / 90), 0.01), (0.01, 0)]),
    ],
)
def test_schemes_scale_the_same_draws(scheme, factors):
    arch = Architecture(hidden=(40, 50))
    ones, got = draw(init.AS_DRAWN, arch), draw(scheme, arch)
    assert torch.equal(got.C, ones.C)
    for layer, (w, b) in enumerate(factors):
        torch.testing.assert_close(got.W[layer], ones.W[layer] * w)
        torch.testing.assert_close(got.b[layer], ones.b[layer] * b)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "leaky_relu"])
def test_kaiming_is_torch_s_with_its_transposed_weights(activation):
    arch = Architecture(hidden=(4000,), n_embd=20)
    ours = draw(init.kaiming(activation), arch).W[0]
    theirs = torch.empty(4000, 60)  # (fan_out, fan_in), as nn.Linear holds it
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.kaiming_normal_(theirs, a=0.01, nonlinearity=activation, generator=generator)
    assert ours.shape == theirs.T.shape
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.01)


def test_xavier_is_torch_s():
    arch = Architecture(hidden=(4000,), n_embd=20)
    theirs = torch.empty(4000, 60)
    torch.nn.init.xavier_normal_(theirs, generator=torch.Generator().manual_seed(0))
    assert draw(init.xavier(), arch).W[0].std().item() == pytest.approx(
        theirs.std().item(), rel=0.01
    )


def test_float64_starts_at_the_same_point():
    low, high = draw(init.QUIET_OUTPUT), draw(init.QUIET_OUTPUT, dtype=torch.float64)
    for a, b in zip(low.tensors(), high.tensors(), strict=True):
        assert b.dtype == torch.float64
        assert torch.equal(a.double(), b)


@given(w=st.floats(0, 100), b=st.floats(0, 100))
def test_scaled_names_its_scales(w, b):
    scheme = init.scaled(w, b)
    assert scheme.factors(Architecture())[0] == (w, b)
    assert repr(scheme) == f"Scheme(W×{w:g}, b×{b:g})"


@pytest.mark.parametrize(("w", "b"), [(-1, 0), (math.nan, 0), (1, math.inf), (1, -0.1)])
def test_impossible_scales_are_refused(w, b):
    with pytest.raises(ValueError, match="a scale is a finite number, 0 or more"):
        init.scaled(w, b)


def test_kaiming_asks_for_a_gain_that_torch_does_not_have():
    with pytest.raises(ValueError, match=r"PyTorch has no gain for 'gelu'; pass one"):
        init.kaiming("gelu")
    with pytest.raises(ValueError, match="is unknown"):
        init.kaiming("Tanh")
    assert init.kaiming("gelu", gain=1.5).weight(4, 9) == 0.75


def test_orthogonal_starts_are_orthogonal_of_either_shape():
    g = torch.Generator().manual_seed(0)
    params = init.draw(Architecture(hidden=(50, 20)), init.orthogonal(1.5), generator=g)
    wide, tall = params.W[0], params.W[1]
    torch.testing.assert_close(wide @ wide.T, 2.25 * torch.eye(30), rtol=0, atol=1e-5)
    torch.testing.assert_close(tall.T @ tall, 2.25 * torch.eye(20), rtol=0, atol=1e-5)
    # The output layer stays a scaled normal draw.
    assert params.W[2].std().item() == pytest.approx(0.01, rel=0.1)


def test_neither_a_default_dtype_nor_a_default_device_changes_what_is_drawn():
    arch = Architecture(hidden=(5, 5), normalize="batch")

    def drawn(scheme):
        g = torch.Generator().manual_seed(8)
        return init.draw(arch, scheme, generator=g, dtype=torch.float64).tensors()

    for scheme in (init.xavier(), init.orthogonal()):
        usual = drawn(scheme)
        try:
            torch.set_default_dtype(torch.float64)
            torch.set_default_device("meta")
            there = drawn(scheme)
        finally:
            torch.set_default_dtype(torch.float32)
            torch.set_default_device(None)
        assert all(torch.equal(a, b) for a, b in zip(usual, there, strict=True))

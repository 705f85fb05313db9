import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlpinit import corpus, init, mlp, saturation
from mlpinit.activations import ACTIVATIONS, get
from mlpinit.params import Architecture, stack


@pytest.fixture(scope="module")
def train_set():
    return corpus.split(corpus.load()).train


def network(activation="tanh", scheme=init.QUIET_OUTPUT, hidden=(200,), seed=2147483647):
    g = torch.Generator().manual_seed(seed)
    return init.draw(Architecture(hidden=hidden, activation=activation), scheme, generator=g)


def test_saturated_is_strictly_beyond_the_cut_on_both_sides():
    h = torch.tensor([[-1.0, -0.98, 0.0], [0.98, 0.9901, 1.0]])
    assert saturation.saturated(h).tolist() == [[True, False, False], [False, True, True]]
    assert saturation.saturated(h, cut=0.97).sum() == 5


@pytest.mark.parametrize("cut", [0, 1, -0.5, 2, math.nan])
def test_a_cut_outside_the_range_of_tanh_is_refused(cut):
    with pytest.raises(ValueError, match="lies between 0 and 1"):
        saturation.saturated(torch.zeros(1), cut)


def test_the_cut_is_where_the_words_say():
    x = torch.tensor([2.6466, 2.6468], dtype=torch.float64)
    assert saturation.saturated(x.tanh()).tolist() == [False, True]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_flat_is_relative_to_the_largest_slope(name):
    a = get(name)
    slope = torch.tensor([0.0199, 0.0201, -0.0199]) * a.max_slope
    assert saturation.flat(slope, a).tolist() == [True, False, True]


def test_fractions_and_columns():
    mask = torch.tensor([[[1, 1, 0], [1, 0, 0]], [[0, 0, 0], [1, 1, 1]]], dtype=torch.bool)
    assert saturation.saturated_fraction(mask).tolist() == [0.5, 0.5]
    assert saturation.all_saturated(mask).tolist() == [[True, False, False], [False] * 3]


def test_never_fired_is_for_units_that_fire():
    h = torch.tensor([[0.0, 0.0, -1.0], [0.0, 2.0, -1.0]])
    assert saturation.never_fired(h).tolist() == [True, False, True]


def test_dormancy_cannot_see_a_unit_stuck_at_its_limit():
    h = torch.rand(64, 10, generator=torch.Generator().manual_seed(0)) * 0.8
    h[:, 3] = -1.0
    h[:, 7] = 0.0
    score = saturation.dormancy(h)
    assert score[3] > 1
    assert score[7] == 0
    assert score.mean().item() == pytest.approx(1)


def test_a_silent_layer_is_dormant_throughout():
    assert saturation.dormancy(torch.zeros(4, 3)).tolist() == [0, 0, 0]
    assert saturation.dormancy(torch.full((4, 3), 0.1), centred=True).tolist() == [0, 0, 0]


def test_centred_dormancy_sees_what_the_raw_score_cannot(train_set):
    """A stuck tanh outscores the live ones; with its mean subtracted it scores exactly 0."""
    params = network(scheme=init.scaled(0.2, 0.01))
    params.b[0][:100] = 20 * torch.tensor([1.0, -1.0]).repeat(50)
    h = mlp.forward(params, train_set.X[:5000]).activations[0]
    raw, centred = saturation.dormancy(h), saturation.dormancy(h, centred=True)
    assert raw[:100].min() > 1
    assert raw[100:].max() < 1
    assert (centred[:100] == 0).all()
    assert centred[100:].min() > 0.5
    by_hand = (h - h.mean(0)).abs().mean(0)
    want = (by_hand / by_hand.mean())[100:]
    torch.testing.assert_close(centred[100:], want, rtol=1e-5, atol=0)


def test_centred_dormancy_of_a_stack_is_that_of_each():
    h = torch.randn(3, 16, 5, generator=torch.Generator().manual_seed(0))
    together = saturation.dormancy(h, centred=True)
    for k in range(3):
        torch.testing.assert_close(together[k], saturation.dormancy(h[k], centred=True))


@pytest.mark.parametrize(("shape", "centred"), [((5,), False), ((0, 5), False), ((1, 5), True)])
def test_dormancy_needs_rows(shape, centred):
    with pytest.raises(ValueError, match=r"wanted .* with a batch of"):
        saturation.dormancy(torch.zeros(shape), centred=centred)


@given(n=st.integers(1, 10**6), confidence=st.floats(0.01, 0.999))
def test_the_bound_is_the_rate_at_which_n_misses_are_just_plausible(n, confidence):
    rate = saturation.live_rate_bound(n, confidence)
    assert 0 < rate < 1
    assert n * math.log1p(-rate) == pytest.approx(math.log1p(-confidence), rel=1e-9)


def test_the_bound_is_the_rule_of_three():
    for n in (100, 1000, 10**6):
        assert saturation.live_rate_bound(n) == pytest.approx(3 / n, rel=0.02)


@pytest.mark.parametrize(("n", "confidence"), [(0, 0.95), (-1, 0.95), (5, 0), (5, 1)])
def test_a_bound_needs_data_and_a_level(n, confidence):
    with pytest.raises(ValueError, match=r"nothing to bound|between 0 and 1"):
        saturation.live_rate_bound(n, confidence)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(20,), (9, 8)])
def test_the_census_is_a_count_over_every_example(train_set, name, hidden):
    """Against the plain way: every context of a part of the set, repeats and all, at once."""
    part = corpus.Contexts(train_set.X[:9000], train_set.Y[:9000])
    params = network(name, hidden=hidden)
    record = mlp.forward(params, part.X)
    for layer, got in enumerate(saturation.census(params, part)):
        z, h = record.pre_activations[layer], record.activations[layer]
        slope = get(name).slope(z, h)
        assert got.n == 9000
        torch.testing.assert_close(
            got.flat_fraction, (slope.abs() < 0.02 * get(name).max_slope).double().mean(0)
        )
        torch.testing.assert_close(got.saturated_fraction, (h.abs() > 0.99).double().mean(0))
        torch.testing.assert_close(got.largest_slope, slope.abs().amax(0))
        torch.testing.assert_close(got.mean, h.double().mean(0), rtol=0, atol=1e-6)


def test_the_census_of_a_stack_is_the_census_of_each(train_set):
    part = corpus.Contexts(train_set.X[:5000], train_set.Y[:5000])
    networks = [network(hidden=(12,), seed=seed) for seed in range(3)]
    (together,) = saturation.census(stack(networks), part)
    for k, alone in enumerate(networks):
        (want,) = saturation.census(alone, part)
        torch.testing.assert_close(together.flat_fraction[k], want.flat_fraction)
        torch.testing.assert_close(together.largest_slope[k], want.largest_slope)


def test_no_unit_of_the_article_s_start_is_dead(train_set):
    (layer,) = saturation.census(network(), train_set)
    assert layer.n == len(train_set)
    assert layer.saturated_fraction.mean() > 0.5
    assert not layer.soft_dead.any()
    assert layer.mostly_saturated().sum() > 100
    assert not layer.mostly_saturated(share=0.95).any()


def test_units_made_dead_are_found_and_told_apart(train_set):
    params = network(scheme=init.scaled(0.2, 0.01))
    params.b[0][:5] = 20.0
    params.b[0][5:8] = -10.5
    (layer,) = saturation.census(params, train_set)
    assert layer.hard_dead.nonzero().flatten().tolist() == [0, 1, 2, 3, 4]
    assert layer.soft_dead.nonzero().flatten().tolist() == list(range(8))
    assert not layer.mostly_saturated()[:8].any()


def test_a_dead_relu_is_hard_dead_and_has_never_fired(train_set):
    params = network("relu", scheme=init.scaled(0.2, 0.01))
    params.b[0][4] = -15.0
    (layer,) = saturation.census(params, train_set)
    assert layer.hard_dead[4]
    assert layer.mean[4] == 0
    assert not layer.hard_dead[:4].any()


def test_a_leaky_relu_is_flat_on_the_left_but_never_hard_dead(train_set):
    params = network("leaky_relu", scheme=init.scaled(0.2, 0.01))
    params.b[0][4] = -15.0
    (layer,) = saturation.census(params, train_set)
    assert layer.soft_dead[4]
    assert not layer.hard_dead.any()


def test_a_network_without_hidden_layer_has_nothing_to_count(train_set):
    assert saturation.census(network(hidden=()), train_set) == ()


def test_an_empty_set_is_refused(train_set):
    with pytest.raises(ValueError, match="no contexts to count over"):
        saturation.census(network(), corpus.Contexts(train_set.X[:0], train_set.Y[:0]))

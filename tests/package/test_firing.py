"""How often members are chosen, against counts by hand; and restarts that touch the dead alone."""

import math

import pytest
import torch
from torch import nn

from mlpinit.models import firing, restart
from mlpinit.watch import audit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_activations_are_counted_where_they_are_not_zero():
    h = torch.tensor([[[0.0, 1.0, -2.0], [0.0, 0.0, 3.0]], [[0.0, 5.0, 1e-30], [0.0, 0.0, 0.0]]])
    census = firing.fired(h)
    assert (census.counts.tolist(), census.n) == ([0, 2, 3], 4)
    assert census.dead.tolist() == [True, False, False]
    assert census.share.tolist() == [0, 0.5, 0.75]
    assert census.bound == pytest.approx(1 - 0.05 ** (1 / 4))


def test_choices_are_counted_once_a_row():
    census = firing.chosen(torch.tensor([[0, 3], [3, 3], [1, 0]]), members=5)
    assert (census.counts.tolist(), census.n) == ([2, 1, 0, 2, 0], 3)
    assert census.dead_share == 2 / 5


def test_the_effective_number_by_hand():
    census = firing.Census(torch.tensor([4, 2, 2, 0]), 8)
    entropy = 0.5 * math.log(2) + 2 * 0.25 * math.log(4)
    assert census.effective == pytest.approx(math.exp(entropy))
    assert firing.Census(torch.tensor([3, 3, 3]), 9).effective == pytest.approx(3)
    assert firing.Census(torch.tensor([0, 7]), 9).effective == pytest.approx(1)
    assert firing.Census(torch.tensor([0, 0]), 9).effective == 0


def test_batches_add_up_to_the_whole():
    h = torch.randn(50, 7, generator=generator()).relu() * (torch.arange(7) != 3)
    whole, parts = firing.fired(h), firing.count(lambda x: x, h.split(8))
    assert torch.equal(whole.counts, parts.counts)
    assert whole.n == parts.n == 50
    codes = torch.randint(6, (50,), generator=generator())
    counted = firing.count(lambda x: x, [(c, None) for c in codes.split(9)], members=6)
    assert torch.equal(counted.counts, torch.bincount(codes, minlength=6))


def test_a_module_is_counted_in_evaluation_mode_and_left_as_it_was():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.9))
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([50.0, -50.0, 50.0, -50.0]))
    assert firing.count(model, torch.randn(20, 3, generator=generator())).counts.tolist() == [
        20, 0, 20, 0,
    ]  # fmt: skip
    assert model.training


def test_an_audit_has_the_same_census():
    model = nn.Sequential(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 2))
    X = torch.randn(700, 3, generator=generator())
    found = firing.of_report(audit(model, X))["1"]
    assert torch.equal(found.counts, firing.fired(model[:2](X).detach()).counts)
    assert found.n == 700


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (lambda: firing.chosen(torch.tensor([0, 5]), members=5), "members are 0 to 4"),
        (lambda: firing.chosen(torch.tensor([0.0]), members=5), "wanted whole numbers"),
        (lambda: firing.fired(torch.empty(0, 4)), "a row at least"),
        (lambda: firing.fired(torch.tensor([[math.nan]])), "an infinity or a NaN"),
        (lambda: firing.count(lambda x: x, []), "no batch came"),
        (lambda: firing.count(lambda x: x, torch.tensor([1])), "give members="),
        (lambda: firing.Census(torch.tensor([3]), 2), "on 2 rows"),
        (
            lambda: firing.fired(torch.ones(1, 2)) + firing.fired(torch.ones(1, 3)),
            "do not add up",
        ),
    ],
)
def test_bad_input_is_refused(bad, says):
    with pytest.raises(ValueError, match=says):
        bad()


def test_dead_codes_restart_at_inputs_and_live_ones_stay():
    codes = torch.randn(6, 3, generator=generator())
    before, inputs = codes.clone(), torch.randn(20, 3, generator=generator(1))
    which = restart.recycle_codes(
        codes, torch.tensor([4, 0, 1, 0, 0, 9]), inputs, generator=generator(2)
    )
    assert which.tolist() == [1, 3, 4]
    assert torch.equal(codes[[0, 2, 5]], before[[0, 2, 5]])
    rows = [(inputs == codes[j]).all(1).nonzero().item() for j in (1, 3, 4)]
    assert len(set(rows)) == 3


def test_latents_restart_as_bricken_et_al_say_and_adam_forgets_them():
    encoder, decoder = nn.Linear(3, 5), nn.Linear(5, 3)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()])
    x = torch.randn(30, 3, generator=generator())
    decoder(encoder(x)).square().sum().backward()
    optimizer.step()
    dead = torch.tensor([False, True, False, False, True])
    errors = torch.zeros(30)
    errors[7] = 2.0  # the only one that can be drawn
    was = [p.detach().clone() for p in (encoder.weight, encoder.bias, decoder.weight)]
    rows = restart.recycle_latents(
        encoder, decoder, dead, x, errors, generator=generator(), optimizer=optimizer
    )
    assert rows.tolist() == [7, 7]
    direction = x[7] / x[7].norm()
    assert torch.allclose(decoder.weight[:, dead], direction[:, None].expand(3, 2))
    length = 0.2 * was[0][~dead].norm(dim=1).mean()
    assert torch.allclose(encoder.weight[dead], (length * direction).expand(2, 3))
    assert not encoder.bias[dead].any()
    for now, then, live in (
        (encoder.weight[~dead], was[0], was[0][~dead]),
        (encoder.bias[~dead], was[1], was[1][~dead]),
        (decoder.weight[:, ~dead], was[2], was[2][:, ~dead]),
    ):
        assert torch.equal(now, live), then
    for kept in ("exp_avg", "exp_avg_sq"):
        assert not optimizer.state[encoder.weight][kept][dead].any()
        assert optimizer.state[encoder.weight][kept][~dead].any()
        assert not optimizer.state[encoder.bias][kept][dead].any()
        assert not optimizer.state[decoder.weight][kept][:, dead].any()
        assert optimizer.state[decoder.weight][kept][:, ~dead].any()


def test_what_cannot_be_restarted_is_refused_before_anything_is_written():
    encoder, decoder = nn.Linear(3, 5), nn.Linear(5, 3)
    was = encoder.weight.detach().clone()
    x, one = torch.ones(4, 3), torch.tensor([True, False, False, False, False])
    stranger = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    for dead, errors, optimizer, says in (
        (one, torch.zeros(4), None, "all 0"),
        (torch.ones(5, dtype=torch.bool), torch.ones(4), None, "no latent is live"),
        (one[:4], torch.ones(4), None, "a mask of bools"),
        (one, torch.ones(3), None, "errors"),
        (one, torch.ones(4), stranger, "another model's"),
    ):
        with pytest.raises(ValueError, match=says):
            restart.recycle_latents(
                encoder, decoder, dead, x, errors, generator=generator(), optimizer=optimizer
            )
    assert torch.equal(encoder.weight, was)

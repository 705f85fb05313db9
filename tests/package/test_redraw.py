import pytest
import torch

from mlpinit import corpus, init, mlp, redraw


def draw(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return init.draw(mlp.Architecture(), init.scaled(0.2, 0.01), generator=generator).W[0]


def test_every_seed_is_another_one_and_equal_seeds_stay_equal():
    published, another = draw(1), draw(1 + redraw.APART)
    with redraw.redrawn(1):
        assert torch.equal(draw(1), another)
        assert torch.equal(draw(1), draw(1))
    assert torch.equal(draw(1), published)


def test_the_default_generator_is_moved_as_well():
    torch.manual_seed(5 + 2 * redraw.APART)
    expected = torch.randn(3)
    with redraw.redrawn(2):
        torch.manual_seed(5)
        assert torch.equal(torch.randn(3), expected)


def test_none_is_the_experiment_as_written_and_the_data_stay():
    with redraw.redrawn(0):
        assert torch.equal(draw(1), draw(1))
        assert redraw.current() == 0
    dealt = corpus.split(corpus.load()).dev.X
    with redraw.redrawn(3):
        assert torch.equal(corpus.split(corpus.load()).dev.X, dealt)


def test_all_is_put_back_after_an_error():
    generator, seed_all = torch.Generator, torch.manual_seed
    with pytest.raises(RuntimeError), redraw.redrawn(1):
        raise RuntimeError
    assert (torch.Generator, torch.manual_seed) == (generator, seed_all)
    assert redraw.current() == 0

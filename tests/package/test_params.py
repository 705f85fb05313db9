import pytest
import torch

from mlpinit import init
from mlpinit.params import Architecture, stack


def start(seed=0, **sizes):
    g = torch.Generator().manual_seed(seed)
    return init.draw(Architecture(**sizes), init.QUIET_OUTPUT, generator=g)


def test_the_book_s_network_has_its_published_size():
    assert Architecture().n_params == 11_897
    assert sum(t.numel() for t in start().tensors()) == 11_897


def test_a_network_without_hidden_layer_maps_embeddings_to_logits():
    assert Architecture(hidden=()).layer_sizes == ((30, 27),)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"vocab_size": 0}, r"vocab_size is 0; .* 1 or more"),
        ({"block_size": -1}, "block_size is -1"),
        ({"n_embd": 2.0}, "n_embd is 2.0"),
        ({"n_embd": True}, "n_embd is True"),
        ({"hidden": (10, 0)}, r"hidden\[1\] is 0"),
        ({"activation": "Tanh"}, "choose one of tanh"),
    ],
)
def test_impossible_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        Architecture(**sizes)


def test_hidden_may_be_a_list_and_the_architecture_stays_hashable():
    assert hash(Architecture(hidden=[5, 6])) == hash(Architecture(hidden=(5, 6)))


def test_names_stand_beside_their_tensors():
    p = start(hidden=(7, 5))
    assert p.names() == ("C", "W[0]", "b[0]", "W[1]", "b[1]", "W[2]", "b[2]")
    assert [tuple(t.shape) for t in p.tensors()] == [
        (27, 10),
        (30, 7),
        (7,),
        (7, 5),
        (5,),
        (5, 27),
        (27,),
    ]


def test_a_clone_shares_no_memory():
    p = start()
    copy = p.clone()
    copy.W[0].zero_()
    assert p.W[0].abs().sum() > 0


def test_stack_and_run_are_inverse():
    networks = [start(seed, hidden=(4,)) for seed in range(3)]
    together = stack(networks)
    assert together.lead == (3,)
    for k, alone in enumerate(networks):
        for a, b in zip(together.run(k).tensors(), alone.tensors(), strict=True):
            assert torch.equal(a, b)


def test_only_networks_of_one_architecture_stack():
    with pytest.raises(ValueError, match="no network to stack"):
        stack([])
    with pytest.raises(ValueError, match="not 2"):
        stack([start(), start(hidden=(3,))])


def test_one_network_has_no_run_to_pick():
    with pytest.raises(ValueError, match="one network"):
        start().run(0)

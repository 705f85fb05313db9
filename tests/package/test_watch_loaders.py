"""Batches in the shapes that people have: each runs, or its error says what to write."""

from collections import UserDict, namedtuple

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from mlpinit.watch import audit


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class One(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 4)

    def forward(self, x):
        return torch.tanh(self.layer(x))


class Two(One):
    def forward(self, left, right, *, scale=1.0):
        return super().forward((left - right) * scale)


class Whole(One):
    def forward(self, batch):
        return super().forward(batch["features"])


class Graph:
    """A batch of a class of its own, with a method `to`."""

    def __init__(self, nodes):
        self.nodes, self.moved = nodes, 0

    def to(self, device):
        self.moved += 1
        return self


class Named(One):
    def forward(self, graph):
        return super().forward(graph.nodes)


Pair = namedtuple("Pair", "inputs targets")
RUNS = {
    "a dict": (Two, {"right": data(9, 5), "left": data(9, 5)}),
    "a mapping that is no dict": (Two, UserDict(left=data(9, 5), right=data(9, 5), scale=2.0)),
    "(dict, targets)": (Two, ({"left": data(9, 5), "right": data(9, 5)}, data(9))),
    "a named tuple": (One, Pair(data(9, 5), data(9))),
    "a mapping that goes in whole": (Whole, {"features": data(9, 5)}),
    "(mapping that goes in whole, targets)": (Whole, [UserDict(features=data(9, 5)), data(9)]),
    "an object": (Named, Graph(data(9, 5))),
    "(object, targets)": (Named, (Graph(data(9, 5)), data(9))),
}


@pytest.mark.parametrize(("kind", "batch"), RUNS.values(), ids=RUNS)
def test_batches_that_run(kind, batch):
    report = audit(kind(), [batch, batch], progress=False)
    assert report[":tanh"].whole.examples == 18


WRONG = {
    "a bare dict": (Two, {"left": data(9, 5), "right": data(9, 5)}, "a dict of 'left', 'right'"),
    "a bare mapping": (One, UserDict(x=data(9, 5)), "a UserDict of 'x'.*one batch"),
    "two inputs": (Two, [(data(9, 5), data(9, 5))], r"\(9, 5\).*forward\(left, right.*'right'"),
    "other names": (Two, [{"left": data(9, 5), "wrong": data(9, 5)}], "a dict of 'left', 'wrong'"),
    "a dict for a tensor": (One, [({"a": data(9, 5)}, data(9))], r"\(a dict of 'a', a tensor"),
    "nothing": (One, [()], "nothing in it"),
    "text": (One, [["a", "b"]], "a list .a str, a str"),
}


@pytest.mark.parametrize(("kind", "loader", "said"), WRONG.values(), ids=WRONG)
def test_batches_that_do_not_run_are_named_with_the_way_out(kind, loader, said):
    with pytest.raises(TypeError, match=rf"(?s){said}.*call="):
        audit(kind(), loader, progress=False)


@pytest.mark.parametrize("with_targets", [False, True])
def test_packed_sequences_go_in_whole(with_targets):
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.RNN(3, 4)

        def forward(self, sequences):
            return self.rnn(sequences)[1]

    packed = pack_sequence([data(n, 3, seed=n) for n in (6, 4, 1)])
    batch = (packed, data(3)) if with_targets else packed
    figures = audit(Reader(), [batch, batch], progress=False)["rnn"].whole
    assert (figures.n, figures.examples) == (22, 6)

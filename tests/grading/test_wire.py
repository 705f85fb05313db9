"""The format between processes: what goes in comes out, and nothing else gets in."""

from __future__ import annotations

import contextlib
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlpinit.grading import wire
from mlpinit.grading.wire import Foreign, WireError, decode, encode

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    plain,
    lambda v: (
        st.lists(v, max_size=4)
        | st.lists(v, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers(), v, max_size=4)
    ),
    max_leaves=12,
)


@given(values)
def test_plain_values_come_back_as_they_went(value):
    back = decode(encode(value))
    assert back == value
    assert type(back) is type(value)


@given(
    dtype=st.sampled_from(sorted(wire.DTYPES)),
    shape=st.lists(st.integers(0, 4), max_size=3),
    seed=st.integers(0, 99),
)
def test_tensors_come_back_bit_for_bit(dtype, shape, seed):
    g = torch.Generator().manual_seed(seed)
    t = (torch.randn(shape, generator=g) * 3).to(wire.DTYPES[dtype])
    back = decode(encode(t))
    assert back.dtype == t.dtype
    assert torch.equal(back, t)


def test_special_floats_and_arrays_travel():
    assert math.isnan(decode(encode(math.nan)))
    assert decode(encode(-math.inf)) == -math.inf
    t = torch.tensor([math.nan, math.inf, -0.0])
    assert torch.equal(decode(encode(t)).nan_to_num(), t.nan_to_num())
    assert torch.equal(decode(encode(np.arange(6).reshape(2, 3))), torch.arange(6).view(2, 3))
    assert decode(encode(np.float64(0.5))).item() == 0.5
    leaf = torch.ones(2, 3, requires_grad=True) * 2
    assert decode(encode(leaf.T)).shape == (3, 2)


def test_what_does_not_travel_goes_by_its_name():
    assert decode(encode(object())) == Foreign("object")
    assert decode(encode([print])) == [Foreign("builtin_function_or_method")]
    assert "complex64" in decode(encode(torch.ones(2, dtype=torch.complex64))).type_name
    assert isinstance(decode(encode(np.array(["a"]))), Foreign)
    deep = []
    for _ in range(40):
        deep = [deep]
    assert "nested too deeply" in encode(deep)


def tensor(**changes):
    body = {"dtype": "float32", "shape": [2], "data": "AAAAAAAAAAA="}
    return json.dumps({"tensor": body | changes})


FORGED = [
    "",
    "nonsense",
    "[1, 2]",
    "3",
    '{"plain": [1]}',
    '{"plain": 1, "list": []}',
    '{"list": 3}',
    '{"list": [3]}',
    '{"dict": [1]}',
    '{"dict": [[{"plain": 1}]]}',
    '{"dict": [[{"list": []}, {"plain": 1}]]}',
    '{"pickle": "gASVBQ=="}',
    '{"foreign": 3}',
    '{"tensor": 3}',
    "[" * 50_000,
    tensor(dtype="object"),
    tensor(dtype="float64"),
    tensor(shape=[3]),
    tensor(shape=[-2]),
    tensor(shape=[2.0]),
    tensor(shape=["2"]),
    tensor(shape=[True, 2]),
    tensor(shape=5),
    tensor(data="!!!!"),
    tensor(data=7),
    tensor(shape=[2**31]),
    json.dumps({"list": [{"list": [{"list": []}]}]}).replace(
        "[]", '[{"list":' * 20 + "[]" + "}]" * 20
    ),
]


@pytest.mark.parametrize("line", FORGED)
def test_a_forged_message_is_refused(line):
    with pytest.raises(WireError):
        decode(line)


@given(st.text() | st.binary())
def test_no_message_does_anything_but_decode_or_be_refused(line):
    with contextlib.suppress(WireError):
        decode(line)


def test_a_message_has_a_largest_size(monkeypatch):
    monkeypatch.setattr(wire, "MAX_BYTES", 10)
    with pytest.raises(WireError, match="a message of 36 bytes; the most is 10"):
        decode('{"plain": "aaaaaaaaaaaaaaaaaaaaaaa"}')

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


GRID = np.arange(6.0).reshape(2, 3)
LIKE_GRID = {
    "flipped": GRID[::-1].copy()[::-1],
    "in the other order of bytes": GRID.astype(">f8"),
    "wider": GRID.astype(np.longdouble),
    "by columns": np.asfortranarray(GRID),
    "a matrix": GRID.view(np.matrix),
    "masked nowhere": np.ma.array(GRID),
    "a subclass": GRID.view(np.recarray),
    "a tensor by columns": torch.tensor(GRID.T.copy()).T,
    "a leaf": torch.nn.Parameter(torch.tensor(GRID)),
    "a result": torch.tensor(GRID, requires_grad=True) * 1,
    "within inference": torch.inference_mode()(torch.tensor)(GRID),
}


@pytest.mark.parametrize("value", LIKE_GRID.values(), ids=LIKE_GRID)
def test_the_same_numbers_are_the_same_however_they_lie(value):
    back = decode(encode(value))
    assert back.dtype == torch.float64
    assert torch.equal(back, torch.tensor(GRID))


@pytest.mark.filterwarnings("error")
def test_arrays_that_torch_does_not_take_travel_without_a_warning():
    frozen = GRID.copy()
    frozen.flags.writeable = False
    assert torch.equal(decode(encode(frozen)), torch.tensor(GRID))
    assert torch.equal(decode(encode(GRID[:, ::-1])), torch.tensor(GRID).flip(1))
    assert torch.equal(decode(encode(GRID[1:, ::-2])), torch.tensor([[5.0, 3.0]]).double())


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64, ">i4", np.int8])
def test_whole_numbers_of_every_width_travel(dtype):
    assert torch.equal(decode(encode(np.array([[1], [7]], dtype=dtype))).long(), tensor_of(1, 7))
    assert decode(encode(np.array(3, dtype=dtype)[()])).item() == 3


def tensor_of(*values):
    return torch.tensor(values).view(-1, 1)


@pytest.mark.parametrize(
    "value", [np.bool_(True), np.float16(0.5), np.longdouble(0.5), np.int64(3)]
)
def test_a_numpy_number_is_a_tensor_without_axes(value):
    back = decode(encode(value))
    assert back.shape == ()
    assert back.item() == value


def test_tensors_that_torch_reads_by_a_sign_or_repeats_travel():
    z = torch.complex(torch.zeros(2), torch.ones(2)).conj()
    assert z.imag.is_neg()
    assert torch.equal(decode(encode(z.imag)), -torch.ones(2))
    assert torch.equal(decode(encode(torch.ones(1, 3).expand(4, 3))), torch.ones(4, 3))


def escaped():
    """A tensor from within torch.func, kept beyond its end."""
    kept = []
    torch.func.vmap(lambda x: (kept.append(x), x)[1])(torch.ones(2))
    return kept[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: torch.eye(2).to_sparse(), "sparse"),
        (lambda: torch.eye(2).to_sparse_csr(), "sparse"),
        (lambda: torch.empty(2, device="meta"), "no numbers"),
        (lambda: torch.quantize_per_tensor(torch.eye(2), 0.1, 0, torch.qint8), "quantized"),
        (lambda: torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]), "nested"),
        (escaped, "torch.func"),
        (lambda: np.ma.array(GRID, mask=GRID > 3), "masked"),
        (lambda: np.array([2**63 + 1], dtype=np.uint64), "uint64"),
        (lambda: np.array([1, None]), "object"),
        (lambda: np.ones(2) * 1j, "complex128"),
        (lambda: np.datetime64("2026-01-01"), "datetime64"),
        (lambda: 10**5000, "16610 bits"),
        (lambda: -(10**5000), "16610 bits"),
    ],
)
def test_what_holds_no_numbers_says_what_it_is(make, word):
    back = decode(encode(make()))
    assert isinstance(back, Foreign)
    assert word in back.type_name


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
    tensor(shape=[0, 2**30, 2**30, 2**30], data=""),
    tensor(shape=[0] * 100_000, data=""),
    tensor(shape={"0": 2}),
    tensor(dtype=["float32"]),
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


def test_a_forged_truth_value_is_true_or_false():
    forged = decode(tensor(dtype="bool", shape=[3], data="AAcB"))
    assert torch.equal(forged, torch.tensor([False, True, True]))
    assert forged.view(torch.uint8).max() == 1


def test_a_message_has_a_largest_size(monkeypatch):
    monkeypatch.setattr(wire, "MAX_BYTES", 10)
    with pytest.raises(WireError, match="a message of 36 bytes; the most is 10"):
        decode('{"plain": "aaaaaaaaaaaaaaaaaaaaaaa"}')

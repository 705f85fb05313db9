"""Code written for an earlier release runs, and is told the new names."""

from __future__ import annotations

import importlib

import pytest

from mlpinit import _renamed, init

OLD = [(module, old) for module, names in _renamed.table().items() for old in names]


@pytest.mark.parametrize(("module", "old"), OLD)
def test_an_old_name_is_the_new_one_with_a_warning(module: str, old: str) -> None:
    new = _renamed.table()[module][old]
    home = importlib.import_module(module)
    assert old not in dir(home)
    with pytest.warns(DeprecationWarning, match=f"{module}.{new}") as told:
        found = getattr(home, old)
    assert found is getattr(home, new)
    assert told[0].filename == __file__


def test_the_two_starts_are_not_taken_for_each_other() -> None:
    """The one whose old name said that all is 1 is the one whose output layer is not scaled."""
    names = _renamed.table()["mlpinit.init"]
    output = {old: getattr(init, new).output_weight for old, new in names.items()}
    assert output == {old: 1.0 if "ONES" in old else 0.01 for old in names}


def test_a_name_that_never_was_is_an_error_as_ever() -> None:
    with pytest.raises(AttributeError, match=r"'mlpinit\.init' has no attribute 'UNDRAWN'"):
        _ = init.UNDRAWN

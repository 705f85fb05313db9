"""The graders graded: stubs, solutions, wrong and unusual answers of every exercise."""

from __future__ import annotations

import importlib.util
import inspect
import re
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
import survey
import torch
from torch import Tensor

from mlpinit.grading.exercise import CHAPTERS, all_exercises
from mlpinit.grading.grade import grade_source
from mlpinit.grading.judge import FAILED, PASSED, TO_DO, _close, _form
from mlpinit.grading.show import as_text

ROOT = Path(__file__).resolve().parents[2]
STUBS, SOLUTIONS = ROOT / "book" / "exercises", ROOT / "book" / "solutions"
MUTANTS = ROOT / "tests" / "exercises" / "mutants"
EXERCISES = all_exercises()
IDS = [e.key for e in EXERCISES]


@cache
def text(folder: Path, chapter: str) -> str:
    return (folder / f"{chapter}.py").read_text(encoding="utf-8")


@cache
def variants(chapter: str) -> dict[str, str]:
    """Name and docstring of every answer in a chapter's file of mutants."""
    path = MUTANTS / f"{chapter}.py"
    spec = importlib.util.spec_from_file_location(f"mutants_{chapter}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    functions = inspect.getmembers(module, inspect.isfunction)
    return {name: (f.__doc__ or "").strip() for name, f in functions if "__" in name}


def named(kind: str) -> list:
    found = []
    for e in EXERCISES:
        for name in variants(e.chapter):
            if name.startswith(f"{e.function}__{kind}_"):
                found.append(pytest.param(e, name, id=f"{e.id}-{e.chapter}-{name}"))
    return found


def answer(runner, exercise, name):
    source = text(MUTANTS, exercise.chapter) + f"\n\n{exercise.function} = {name}\n"
    return grade_source(runner, exercise, source)


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_the_stub_is_to_do(runner, exercise):
    verdict = grade_source(runner, exercise, text(STUBS, exercise.chapter))
    assert verdict.status == TO_DO, as_text(verdict)


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_the_reference_solution_passes(runner, exercise):
    verdict = grade_source(runner, exercise, text(SOLUTIONS, exercise.chapter))
    assert verdict.status == PASSED, as_text(verdict)
    assert verdict.seconds < 1


@pytest.mark.parametrize(("exercise", "name"), named("wrong"))
def test_a_typical_mistake_fails_with_its_diagnosis(runner, exercise, name):
    verdict = answer(runner, exercise, name)
    assert verdict.status == FAILED, as_text(verdict)
    said = variants(exercise.chapter)[name]
    assert said, f"{name} needs a docstring: the diagnosis that it must get"
    assert said in f"{verdict.problem}\n{verdict.diagnosis}", as_text(verdict)


@pytest.mark.parametrize(("exercise", "name"), named("right"))
def test_an_unusual_right_answer_passes(runner, exercise, name):
    verdict = answer(runner, exercise, name)
    assert verdict.status == PASSED, as_text(verdict)


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_every_wrong_answer_of_the_table_fails_with_its_diagnosis(exercise):
    for name, wrong in survey.answers(exercise, "wrong").items():
        found = survey.verdict(exercise, wrong)
        assert found.status == FAILED, name
        assert survey.wanted(name, wrong) in f"{found.problem}\n{found.diagnosis}", name


def test_nine_of_ten_wrong_answers_hear_what_is_wrong():
    told = [
        survey.told(survey.verdict(exercise, wrong))
        for exercise in EXERCISES
        for wrong in survey.answers(exercise, "wrong").values()
    ]
    assert told.count(False) < len(told) / 10


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_a_little_off_a_memory_or_a_changed_argument_fails(exercise):
    for name, wrong in survey.derived(exercise).items():
        if exercise.id == "8.2" and name.endswith("off"):
            continue  # many a scale is right
        assert survey.verdict(exercise, wrong).status == FAILED, name


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_other_seeds_grade_alike(exercise):
    for seed in range(20):
        found = survey.verdict(exercise, survey.solution(exercise), seed)
        assert found.status == PASSED, f"seed {seed}: {as_text(found)}"
    for seed in range(3):
        table = survey.verdict(exercise, survey.table(exercise), seed)
        assert table.status == FAILED, f"the shown answers pass under seed {seed}"
    for kind, status in (("wrong", FAILED), ("right", PASSED)):
        for name, answer in survey.answers(exercise, kind).items():
            found = survey.verdict(exercise, answer, 20)
            assert found.status == status, f"{name}: {as_text(found)}"


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_the_cases_tell_the_mistakes_apart(exercise):
    if exercise.accepts is not None:
        pytest.skip("what it says of a wrong answer, it works out")
    named = {"the right answer": exercise.oracle}
    named |= {mistake.says: mistake.wrong for mistake in exercise.mistakes}
    cases = exercise.draw()
    answers = {says: [made(wrong, case.args) for case in cases] for says, wrong in named.items()}
    for (a, of_a), (b, of_b) in combinations(answers.items(), 2):
        both = [(x, y) for x, y in zip(of_a, of_b, strict=True) if x is not None and y is not None]
        alike = both and all(same(exercise, x, y) for x, y in both)
        assert not alike, f"{a!r} and {b!r}"


def made(wrong, args):
    try:
        return wrong(*args)
    except Exception:
        return None  # a mistake may raise where it cannot be told


def same(exercise, a, b):
    return _form(a, b) is None and _close(exercise, a, b)


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_an_exercise_is_complete(exercise):
    names = variants(exercise.chapter)
    kinds = [
        name.removeprefix(exercise.function + "__").split("_")[0]
        for name in names
        if name.startswith(exercise.function + "__")
    ]
    assert kinds.count("wrong") >= 3, "three typical wrong answers"
    assert kinds.count("right") >= 1, "an unusual right answer"
    assert len(exercise.hints) >= 2
    assert exercise.points in (1, 2, 3)
    assert exercise.teaches
    assert len(exercise.mistakes) >= 3 or exercise.accepts is not None
    says = [m.says for m in exercise.mistakes]
    assert len(set(says)) == len(says)


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_the_stub_and_the_solution_are_typed_alike(exercise):
    def signature(folder: Path) -> str:
        pattern = rf"^def {exercise.function}\((.*?)\) -> (.*?):$"
        found = re.search(pattern, text(folder, exercise.chapter), re.MULTILINE | re.DOTALL)
        assert found, f"no typed {exercise.function} in {folder.name}/{exercise.chapter}.py"
        return " ".join(found[0].split())

    assert signature(STUBS) == signature(SOLUTIONS)


def tensors(value):
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for v in value:
            yield from tensors(v)


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_inputs_are_several_asymmetric_seeded_and_small_at_first(exercise):
    cases, again = exercise.draw(), exercise.draw()
    assert len(cases) >= 3
    for a, b in zip(cases, again, strict=True):
        for s, t in zip(tensors(a.args), tensors(b.args), strict=True):
            assert torch.equal(s.nan_to_num(), t.nan_to_num())
    assert sum(t.numel() for t in tensors(cases[0].args)) <= 120
    shapes = [tuple(t.shape) for case in cases for t in tensors(case.args)]
    assert not any(len(s) == 2 and s[0] == s[1] > 1 for s in shapes), "no square shapes"
    assert not any(len(s) > 1 and s[0] == 1 for s in shapes), "no batch of one"
    for case in cases:
        if case.what:
            continue  # numbers written down for their own sake, which it says
        for t in tensors(case.args):
            if t.is_floating_point() and t.numel() > 1:
                assert not (t == 1).all(), "no all-ones"


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_the_right_answer_comes_in_double_precision(exercise):
    for case in exercise.draw():
        for t in tensors(exercise.oracle(*case.args)):
            assert t.dtype in (torch.float64, torch.int64, torch.bool)


@pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)
def test_the_page_states_it(exercise):
    (page,) = (ROOT / "book").glob(f"part*/{exercise.chapter.replace('_', '-')}.md")
    text = page.read_text(encoding="utf-8")
    assert f":::{{graded}} {exercise.id}" in text
    assert f":label: exercise-{exercise.id.replace('.', '-')}" in text
    assert f":::{{exercise}} {exercise.title}" in text


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_has_exercises_and_a_cell_to_check_one(chapter):
    assert sum(e.chapter == chapter for e in EXERCISES) >= 2
    (page,) = (ROOT / "book").glob(f"part*/{chapter.replace('_', '-')}.md")
    assert "from mlpinit.grading import check" in page.read_text(encoding="utf-8")


def test_there_are_enough_and_their_numbers_run_without_gaps():
    assert len(EXERCISES) >= 24
    for number, chapter in enumerate(CHAPTERS, 1):
        ids = [e.id for e in EXERCISES if e.chapter == chapter]
        assert ids == [f"{number}.{i}" for i in range(1, len(ids) + 1)]
    names = [e.function for e in EXERCISES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_oracle_borrows_from_the_solutions(chapter):
    source = (ROOT / "mlpinit" / "grading" / "exercises" / f"{chapter}.py").read_text()
    assert "solutions" not in source

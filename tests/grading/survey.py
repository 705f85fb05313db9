"""Wrong answers by the hundred, judged in this process: which are rejected, and which told why.

`python tests/grading/survey.py` prints the table by chapter, with -v each answer that passed,
hears of no mistake or of another; chapters named are counted alone. `test_graders.py` holds it to
its marks.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

from mlpinit.grading import wire
from mlpinit.grading.drawn import drawn
from mlpinit.grading.exercise import CHAPTERS, Exercise, all_exercises
from mlpinit.grading.job import Ending
from mlpinit.grading.judge import FAILED, Verdict, judge
from mlpinit.grading.runner import answers_of

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = ROOT / "tests" / "exercises" / "mutants"
SOLUTIONS = ROOT / "book" / "solutions"


@cache
def module(folder: Path, chapter: str) -> ModuleType:
    """A chapter's file of that folder, imported."""
    spec = importlib.util.spec_from_file_location(
        f"{folder.name}_{chapter}", folder / f"{chapter}.py"
    )
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def solution(exercise: Exercise) -> Callable:
    """The reference solution."""
    return getattr(module(SOLUTIONS, exercise.chapter), exercise.function)


def answers(exercise: Exercise, kind: str) -> dict[str, Callable]:
    """Its answers of a kind, 'wrong' or 'right', by what is to be said of each or by its name.

    They are the functions NAME__KIND_..., whose docstring is what is to be said, and the entries of
    the table WRONG of that exercise.
    """
    file, start = module(MUTANTS, exercise.chapter), f"{exercise.function}__{kind}_"
    found = {
        name: f
        for name, f in inspect.getmembers(file, inspect.isfunction)
        if name.startswith(start)
    }
    table = getattr(file, "WRONG", {}) if kind == "wrong" else {}
    return found | table.get(exercise.function, {})


def wanted(name: str, answer: Callable) -> str:
    """What is to be said of a wrong answer."""
    return (answer.__doc__ or "").strip() if "__wrong_" in name else name


def table(exercise: Exercise) -> Callable:
    """A wrong answer that looks up what the shown cases want, and else answers as for the first."""
    known = {wire.encode(case.args): exercise.oracle(*case.args) for case in exercise.draw()}
    return lambda *args: known.get(wire.encode(args), next(iter(known.values())))


def verdict(exercise: Exercise, answer: Callable, seed: int | None = None) -> Verdict:
    """The verdict on an answer, without the sandbox: on the learner's cases, or those of a seed."""
    with warnings.catch_warnings(action="ignore"):  # a warning of torch's is not a failure
        said = list(answers_of(lambda: answer, drawn(exercise, seed).encoded))
    return judge(exercise, Ending(said, "exit", 0, "", 0, 0.0, []), seed)


def derived(exercise: Exercise) -> dict[str, Callable]:
    """Wrong answers made from the reference solution: a little off, with a memory, in place."""
    right, sample = solution(exercise), solution(exercise)(*exercise.draw()[0].args)
    found = {"remembers by shape": _remembering(right), "adds to its last answer": _adding(right)}
    parts = sample if isinstance(sample, tuple | list) else [sample]
    for i, part in enumerate(parts):
        if isinstance(part, float) or (torch.is_tensor(part) and part.is_floating_point()):
            found[f"value {i + 1} is 0.1 % off"] = _off(right, i)
    for i, arg in enumerate(exercise.draw()[0].args):
        if torch.is_tensor(arg) or (isinstance(arg, list | tuple) and torch.is_tensor(arg[-1])):
            found[f"writes into argument {i + 1}"] = _writing(right, i)
    return found


def _form(value: object) -> object:
    if torch.is_tensor(value):
        return tuple(value.shape)
    if isinstance(value, list | tuple):
        return tuple(map(_form, value))
    return type(value).__name__


def _remembering(right: Callable) -> Callable:
    answers = {}
    return lambda *args: answers.setdefault(_form(args), right(*args))


def _adding(right: Callable) -> Callable:
    answers = {}

    def both(a: object, b: object) -> object:
        if isinstance(a, list | tuple):
            return type(a)(map(both, a, b))
        return a ^ b if isinstance(a, bool) or getattr(a, "dtype", 0) == torch.bool else a + b

    def answer(*args: object) -> object:
        form, now = _form(args), right(*args)
        answers[form] = both(now, answers[form]) if form in answers else now
        return answers[form]

    return answer


def _off(right: Callable, place: int) -> Callable:
    def answer(*args: object) -> object:
        value = right(*args)
        if not isinstance(value, list | tuple):
            return 1.001 * value
        return tuple(1.001 * v if i == place else v for i, v in enumerate(value))

    return answer


def _writing(right: Callable, place: int) -> Callable:
    def answer(*args: object) -> object:
        value, arg = right(*args), args[place]
        arg = arg[-1] if isinstance(arg, list | tuple) else arg
        arg[...] = arg ^ True if arg.dtype == torch.bool else arg + 1
        return value

    return answer


def told(found: Verdict) -> bool:
    """Whether more is said than that it is not right."""
    bare = found.problem.startswith(("the answer is not right", "the shape is", "it returned "))
    return bool(found.diagnosis) or not (bare or " raised " in found.problem)


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'chapter':22}{'wrong':>7}{'passed':>8}{'untold':>8}")
    sums = [0, 0, 0]
    for chapter in [c for c in CHAPTERS if c in sys.argv] or CHAPTERS:
        counts, lines = [0, 0, 0], []
        for exercise in all_exercises():
            if exercise.chapter != chapter:
                continue
            for name, answer in answers(exercise, "wrong").items():
                found = verdict(exercise, answer)
                counts[0] += 1
                if found.status != FAILED:
                    counts[1] += 1
                    lines.append(f"  PASSED {exercise.id} {name}")
                elif not told(found):
                    counts[2] += 1
                    lines.append(f"  untold {exercise.id} {name}: {found.problem}")
                elif wanted(name, answer) not in f"{found.problem}\n{found.diagnosis}":
                    lines.append(f"  heard  {exercise.id} {name}: {found.diagnosis}")
        sums = [a + b for a, b in zip(sums, counts, strict=True)]
        print(f"{chapter:22}{counts[0]:7}{counts[1]:8}{counts[2]:8}")
        if "-v" in sys.argv:
            print("\n".join(lines))
    print(f"{'all':22}{sums[0]:7}{sums[1]:8}{sums[2]:8}")


if __name__ == "__main__":
    main()

"""Measure what a class costs to grade: seconds per submission and per exercise.

Run it with `python benchmarks/grading.py`: a class of thirty, of solutions, typical mistakes and
untouched starters in turn, is graded by the command as an instructor calls it. The processor time
is that of all its processes together, and says more than the clock on a machine with other work.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mlpinit.grading.exercise import CHAPTERS, all_exercises

ROOT = Path(__file__).resolve().parents[1]
SOLUTIONS, STARTERS = ROOT / "book" / "solutions", ROOT / "book" / "exercises"
MUTANTS = ROOT / "tests" / "exercises" / "mutants"


def mistaken(chapter: str, draw: random.Random) -> str:
    """The chapter's file with one of the typical mistakes in each of its functions."""
    text = (MUTANTS / f"{chapter}.py").read_text(encoding="utf-8")
    names = [line[4:].split("(")[0] for line in text.splitlines() if line.startswith("def ")]
    for e in all_exercises():
        wrong = [name for name in names if name.startswith(f"{e.function}__wrong_")]
        if e.chapter == chapter and wrong:
            text += f"\n\n{e.function} = {draw.choice(wrong)}\n"
    return text


def hand_in(folder: Path, students: int) -> list[Path]:
    """Write a class's submissions: half of the chapters solved, a third mistaken, a sixth open."""
    draw = random.Random(0)
    folders = []
    for number in range(students):
        own = folder / f"student-{number + 1:02}"
        own.mkdir()
        for chapter in CHAPTERS:
            kind = draw.choices(("solved", "mistaken", "open"), (3, 2, 1))[0]
            path = (STARTERS if kind == "open" else SOLUTIONS) / f"{chapter}.py"
            text = (
                mistaken(chapter, draw) if kind == "mistaken" else path.read_text(encoding="utf-8")
            )
            if kind != "open":  # no two write alike; what nobody touched is the same
                text += f"\n# by {own.name}\n"
            (own / f"{chapter}.py").write_text(text, encoding="utf-8")
        folders.append(own)
    return folders


def cost(command: list[str]) -> tuple[float, float]:
    """Seconds on the clock and on the processor of a command and of all that it starts."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the class's cost, and that of one exercise of one submission."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=30, help="how many (%(default)s)")
    parser.add_argument("--jobs", help="submissions at a time (one per core)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folders = hand_in(Path(folder), args.students)
        out = Path(folder, "grades.csv")
        command = [sys.executable, "-m", "mlpinit.grading", *map(str, folders), "--csv", str(out)]
        wall, used = cost(command + (["--jobs", args.jobs] if args.jobs else []))
    exercises = args.students * len(all_exercises())
    print(f"{args.students} submissions of {len(all_exercises())} exercises")
    print(f"{'':<14}{'clock':>10}{'processor':>12}")
    print(f"{'in all':<14}{wall:>8.1f} s{used:>10.1f} s")
    print(f"{'a submission':<14}{wall / args.students:>8.2f} s{used / args.students:>10.2f} s")
    print(f"{'an exercise':<14}{1e3 * wall / exercises:>7.1f} ms{1e3 * used / exercises:>9.1f} ms")


if __name__ == "__main__":
    main()

"""The page on other people's models says what the benchmark found."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("models", ROOT / "benchmarks" / "models.py")
models = importlib.util.module_from_spec(spec)
spec.loader.exec_module(models)


def test_the_table_is_that_of_the_kept_counts():
    kept = json.loads(models.KEPT.read_text(encoding="utf-8"))
    text = models.PAGE.read_text(encoding="utf-8")
    assert models.on_page(text, kept) == text
    some = next(row for row in kept["models"].values() if "sites" in row)
    some["sites"] += 1
    assert models.on_page(text, kept) != text


def test_what_is_counted_as_cut_is_what_is_not_refused():
    row = {"library": "timm", "sites": 5, "traced": True, "refused": {"why": 2}}
    crashed = {"library": "timm", "error": "worked for more than 60 s, or crashed"}
    kept = {
        "versions": dict.fromkeys(models.LIBRARIES, "1.0"),
        "models": {"timm a": row, "timm b": crashed},
    }
    lines = models.table(kept).splitlines()
    assert "| timm 1.0 | 1 | 5 | 3 (60%) | 1 | 1 |" in lines
    assert "| all | 1 | 5 | 3 (60%) | 1 | 1 |" in lines
    assert lines[-1] == "| why | 2 |"

"""What tests of several modules share."""

from __future__ import annotations

import hashlib

import pytest

from mlpinit import corpus


@pytest.fixture(scope="session")
def names_corpus() -> corpus.Corpus:
    """The makemore names, where their file is in the cache folder; never downloaded by a test."""
    path = corpus.cache_folder() / "names.txt"
    if not path.is_file():
        pytest.skip(f"the makemore names are not there: {path} (corpus.load('names') fetches them)")
    if hashlib.sha256(path.read_bytes()).hexdigest() != corpus.NAMES_SHA256:
        pytest.skip(f"{path} is another file than the makemore names")
    return corpus.load("names")

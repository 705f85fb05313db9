"""One process that runs submissions, for all tests here."""

import pytest

from mlpinit.grading.client import Runner


@pytest.fixture(scope="session")
def runner():
    with Runner() as process:
        yield process

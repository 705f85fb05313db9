"""Loggers that stay on this machine."""

import pytest
import subject


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    subject.offline(monkeypatch, tmp_path)

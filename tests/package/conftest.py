"""What the package's tests share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_draws():
    """Layers drawn by torch's own generator are the same whichever tests have run before."""
    torch.manual_seed(0)

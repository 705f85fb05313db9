"""What the README has for a model of one's own runs as it stands."""

from __future__ import annotations

import re

import pytest
import torch
from small_project import ROOT
from torch import nn

BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S
)


def test_a_model_of_one_s_own(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = (block for block in BLOCKS if "mlpinit.checkup" in block)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 60), nn.ReLU(), nn.Linear(60, 3))
    with torch.no_grad():
        model[0].bias[:5] = -100.0
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    X, Y = torch.randn(400, 4), torch.randint(3, (400,))
    loss = nn.functional.cross_entropy

    def fit(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(20):
            optimizer.zero_grad()
            loss(model(X), Y).backward()
            optimizer.step()

    names = {"model": model, "X": X, "Y": Y, "loss": loss, "optimizer": optimizer, "fit": fit}
    exec(block, names | {"loader": [X]}, (found := {}))
    printed = capsys.readouterr().out
    assert printed.startswith("Healthy: nothing was found.")
    assert "5 hard-dead" in printed
    assert found["smaller"][0].out_features == 55

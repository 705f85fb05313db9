"""Lightning's own two processes, started by `test_lightning`: python two_ranks.py FOLDER."""

import sys
from pathlib import Path

import subject
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mlpinit.integrations.lightning import WatchCallback


class Regression(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = subject.network()

    def training_step(self, batch, index):
        X, y = batch
        return nn.functional.mse_loss(self.net(X), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def main(folder):
    torch.set_num_threads(1)
    X = subject.inputs()
    seed_everything(0, verbose=False)
    options = subject.recycling()
    if torch.distributed.is_initialized():
        raise RuntimeError("the trainer sets up the ranks")
    callback = WatchCallback(**{**subject.OPTIONS, "window": 100}, **options)
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        default_root_dir=folder,
        callbacks=[callback],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Regression()
    loader = DataLoader(TensorDataset(X, subject.targets(X)), batch_size=16)
    trainer.fit(model, loader)
    state = {name: value.tolist() for name, value in model.state_dict().items()}
    torch.save(
        {"state": state, "report": callback.monitor.report.to_dict(),
         "recycled": [step for step, _ in callback.monitor.recycled]},
        folder / f"{trainer.global_rank}.pt",
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))

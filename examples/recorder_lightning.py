"""Find wrong labels with Lightning: a callback that records, and scikit-learn's digits with 20 % wrong labels.

python examples/recorder_lightning.py

The data set gives (position, x, y), and ``training_step`` returns its logits beside the loss.
"""

import tempfile

import lightning
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from itlm.audit import plant
from itlm.audit.recorder import Recorder


class RecorderCallback(lightning.Callback):
    """Record each training batch in a folder; arguments as for `Recorder`."""

    def __init__(self, n, folder, labels=None):
        self.arguments = n, folder, labels

    def on_train_start(self, trainer, module):  # noqa: D102
        ranks, at = {"rank": trainer.global_rank, "ranks": trainer.world_size}, trainer.current_epoch
        self.recorder = Recorder(*self.arguments, **ranks, epoch=at)  # a checkpoint may be older than the record

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):  # noqa: D102
        self.recorder.log(batch[0], outputs["logits"], batch[2])

    def on_train_epoch_end(self, trainer, module):  # noqa: D102
        self.recorder.end_epoch()


class Classifier(lightning.LightningModule):
    """A small network for 8 x 8 digits."""

    def __init__(self):
        super().__init__()
        self.network = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))

    def training_step(self, batch, _):  # noqa: D102
        _, x, y = batch
        logits = self.network(x)
        return {"loss": torch.nn.functional.cross_entropy(logits, y), "logits": logits.detach()}

    def configure_optimizers(self):  # noqa: D102
        return torch.optim.Adam(self.parameters(), lr=3e-3)


def main():
    """Train, and print the report."""
    lightning.seed_everything(0)
    X, truth = load_digits(return_X_y=True)
    y = plant(X, truth, "uniform", len(X) // 5, random_state=0).y
    data = TensorDataset(torch.arange(len(X)), torch.tensor(X / 16).float(), torch.tensor(y))
    with tempfile.TemporaryDirectory() as folder:
        callback = RecorderCallback(len(X), folder, y)
        trainer = lightning.Trainer(
            max_epochs=10, accelerator="cpu", callbacks=[callback], logger=False, enable_checkpointing=False,
            enable_progress_bar=False,
        )  # fmt: skip
        trainer.fit(Classifier(), DataLoader(data, batch_size=64, shuffle=True))
        report = callback.recorder.report(alpha=0.8)
    print(report)
    print(f"Of the {(~report.kept[-1]).sum()} dropped samples, {(y != truth)[~report.kept[-1]].mean():.0%} are wrong.")


if __name__ == "__main__":
    main()

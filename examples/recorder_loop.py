"""Find wrong labels from a plain PyTorch loop: scikit-learn's digits with 10 % wrong labels, seconds on a CPU.

python examples/recorder_loop.py [report.html]
"""

import sys
import tempfile

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from itlm.audit import plant
from itlm.audit.recorder import Recorder

EPOCHS, SEED = 15, 0

images, truth = load_digits(return_X_y=True)
n = len(images)
found = plant(images, truth, "uniform", n // 10, random_state=SEED).y  # your labels, 10 % wrong
planted = plant(images, found, "uniform", 100, random_state=SEED + 1)  # errors on purpose: they estimate that share
y = torch.tensor(planted.y)

torch.manual_seed(SEED)
data = TensorDataset(torch.arange(n), torch.tensor(images / 16).float(), y)  # the positions come with the samples
loader = DataLoader(data, batch_size=64, shuffle=True)
network = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)

with tempfile.TemporaryDirectory() as folder:  # yours: a folder that stays, beside the checkpoints
    recorder = Recorder(n, folder, labels=y)
    for _ in range(recorder.epoch, EPOCHS):
        for ids, x, labels in loader:
            logits = network(x + 0.1 * torch.randn_like(x))  # a random augmentation
            loss = torch.nn.functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.log(ids, logits, labels)
        recorder.end_epoch()
    report = recorder.report(planted=planted.ids)

print(report)
suspects = report.ids[report.order[: n // 10]]
print(f"Of the first {len(suspects)} suspects, {(found != truth)[suspects].mean():.0%} are wrong.")
report.to_html(sys.argv[1] if len(sys.argv) > 1 else "report.html")

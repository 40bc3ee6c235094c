"""Measure what `itlm.deep.training` costs over a bare loop, and what it saves over a DataLoader."""

from statistics import median

import torch
from PIL import Image
from timing import in_turn, ratio
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from itlm import trim
from itlm.deep import images
from itlm.deep.inputs import to_tensor
from itlm.deep.networks import LeNet, initialised
from itlm.deep.training import Schedule, fit, sample_losses

EPOCHS, BATCH, LR, ALPHA, REPEATS = 2, 100, 0.1, 0.55, 7
torch.set_num_threads(1)

digits = images.load("mnist5k")
x, y = to_tensor(digits.train_x), torch.tensor(digits.train_y.astype(int))
n = len(x)
part = digits.train_x / 255
mean, deviation = part.mean(), part.std()
# Cut, laid out and shuffled beforehand: nothing is left but the network and the step.
order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
cut = [(x[i].contiguous(memory_format=torch.channels_last), y[i]) for i in order.split(BATCH)]


class Digits(Dataset):
    """The images as torchvision's own MNIST hands them out, one by one."""

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((mean,), (deviation,))])

    def __len__(self):
        return n

    def __getitem__(self, i):
        return self.transform(Image.fromarray(digits.train_x[i])), int(digits.train_y[i])


def loop(batches) -> None:
    """Train as a tutorial would, on the batches as they come, in the layout that `fit` uses."""
    network = initialised(LeNet, 0).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=LR)
    for _ in range(EPOCHS):
        for inputs, labels in batches:
            value = cross_entropy(network(inputs.contiguous(memory_format=torch.channels_last)), labels)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()


@torch.no_grad()
def forward() -> torch.Tensor:
    """Pass all samples through the network, and do nothing with what comes out."""
    return torch.cat([fitted(inputs) for inputs in x.split(500)])


schedule = Schedule(epochs=EPOCHS, batch=BATCH, lr=LR)
fitted = fit(LeNet, x, y, None, schedule, seed=0).network
losses = sample_losses(fitted, x, y)
calls = {
    "fit": lambda: fit(LeNet, x, y, None, schedule, seed=0),
    "bare": lambda: loop(cut),
    "loader": lambda: loop(DataLoader(Digits(), BATCH, shuffle=True, generator=torch.Generator().manual_seed(0))),
    "score": lambda: sample_losses(fitted, x, y),
    "forward": forward,
    "trim": lambda: trim(losses, ALPHA),
}
times = in_turn(calls, REPEATS)
ms = {name: 1e3 * median(measured) for name, measured in times.items()}

print(f"LeNet, {n} mnist5k images, batch {BATCH}, {EPOCHS} epochs, 1 thread, median of {REPEATS} in turn")
print(f"bare loop {ms['bare']:.0f} ms, fit {ms['fit']:.0f} ms: ratio {ratio(times, 'fit', 'bare'):.2f} (at most 1.05)")
print(f"DataLoader and transforms {ms['loader']:.0f} ms: {ratio(times, 'loader', 'fit'):.2f} times as long as fit")
print(
    f"forward pass {ms['forward']:.0f} ms, sample_losses {ms['score']:.0f} ms: "
    f"ratio {ratio(times, 'score', 'forward'):.2f} (at most 1.2)"
)
share = 100 * ms["trim"] / (ms["fit"] + ms["score"])
print(f"trim {ms['trim']:.3f} ms: {share:.3f} % of one round (at most 0.5 %)")

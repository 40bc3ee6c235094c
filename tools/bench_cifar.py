"""Measure the loop of `itlm.experiments.cifar` against a DataLoader with torchvision's transforms, same network."""

from statistics import median

import torch
from PIL import Image
from timing import in_turn, ratio
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from itlm.deep import images
from itlm.deep.inputs import to_tensor
from itlm.deep.networks import SmallNet, initialised
from itlm.deep.training import Schedule, fit
from itlm.experiments import cifar

N, BATCH, LR, REPEATS = 3000, 100, 0.1, 5
torch.set_num_threads(1)

preset = cifar.Config(scale="cpu").resolved()
cifar10 = images.load("cifar10")
pixels, labels = cifar10.train_x[:N], torch.tensor(cifar10.train_y[:N].astype(int))
x = to_tensor(pixels)
mean, deviation = (pixels / 255).mean((0, 1, 2)), (pixels / 255).std((0, 1, 2))


class Pictures(Dataset):
    """The images as torchvision's own CIFAR10 hands them out, one by one."""

    def __init__(self, augment):
        before = [transforms.RandomCrop(32, 4, padding_mode="reflect"), transforms.RandomHorizontalFlip()]
        after = [transforms.ToTensor(), transforms.Normalize(mean, deviation)]
        self.transform = transforms.Compose([*(before if augment else []), *after])

    def __len__(self):
        return N

    def __getitem__(self, i):
        return self.transform(Image.fromarray(pixels[i])), int(labels[i])


def make() -> SmallNet:
    """Make the network of the preset."""
    return SmallNet(width=preset.width, stem=preset.stem, normalisation=preset.normalisation)


def usual(augment: bool, last: bool) -> None:
    """Train for a pass as a tutorial would; ``last`` in the layout that `fit` uses."""
    layout = torch.channels_last if last else torch.contiguous_format
    network = initialised(make, 0).to(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=LR)
    for inputs, given in DataLoader(Pictures(augment), BATCH, shuffle=True):
        value = cross_entropy(network(inputs.contiguous(memory_format=layout)), given)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()


def ours(augment: bool, half: bool):
    """Train for a pass as the experiment does."""
    return fit(
        make,
        x,
        labels,
        None,
        Schedule(epochs=1, batch=BATCH, lr=LR, augment="shift" if augment else "none", half=half),
        seed=0,
    )


calls = {
    f"{name}, {'augmented' if augment else 'plain'}": call
    for augment in (False, True)
    for name, call in {
        "usual": lambda augment=augment: usual(augment, False),
        "usual, channels last": lambda augment=augment: usual(augment, True),
        "fit": lambda augment=augment: ours(augment, False),
        "fit, half": lambda augment=augment: ours(augment, True),
    }.items()
}
times = in_turn(calls, REPEATS)
print(f"SmallNet of width {preset.width}, {N} images, batch {BATCH}, 1 thread, median of {REPEATS} in turn")
for kind in ("plain", "augmented"):
    for name in ("fit", "fit, half"):
        speed = N / median(times[f"{name}, {kind}"])
        print(
            f"{name}, {kind}: {speed:.0f} images a second, {ratio(times, f'usual, {kind}', f'{name}, {kind}'):.2f} "
            f"times the usual loop (at least 1.3), "
            f"{ratio(times, f'usual, channels last, {kind}', f'{name}, {kind}'):.2f} times it in the faster layout"
        )

"""The networks of the experiments, as plain torch modules, initialised reproducibly."""

from collections.abc import Callable

import torch
from torch import nn

__all__ = ["LeNet", "initialised"]


def initialised(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Make a network whose initial weights derive from the seed alone.

    Parameters
    ----------
    make : callable, () -> torch.nn.Module
        Makes the network; torch's global generator is seeded for it and put back afterwards.
    seed : int
        Of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


class LeNet(nn.Sequential):
    """The two-layer CNN of the paper's MNIST experiments, as in its authors' code.

    conv 20@5x5, activation, max-pool 2, conv 50@5x5, activation, max-pool 2, dense 500, activation, dense.

    Parameters
    ----------
    n_classes : int, default 10
        Number of outputs.
    activation : {"tanh", "relu"}
        The authors use tanh.
    bounded : bool, default True
        Pass the logits through tanh, as the authors do. The cross-entropy of ten classes then lies
        between 0.80 and 4.21: no single sample can dominate the loss.
    channels : tuple of three int
        Widths of the two convolutions and of the dense layer.

    Shapes: input (n, 1, 28, 28), output (n, n_classes).
    """

    def __init__(self, n_classes=10, *, activation="tanh", bounded=True, channels=(20, 50, 500)):
        curve = {"tanh": nn.Tanh, "relu": nn.ReLU}[activation]
        a, b, c = channels
        layers = [
            nn.Conv2d(1, a, 5),  # (n, a, 24, 24)
            curve(),
            nn.MaxPool2d(2),  # (n, a, 12, 12)
            nn.Conv2d(a, b, 5),  # (n, b, 8, 8)
            curve(),
            nn.MaxPool2d(2),  # (n, b, 4, 4)
            nn.Flatten(),
            nn.Linear(16 * b, c),
            curve(),
            nn.Linear(c, n_classes),
        ]
        super().__init__(*layers, *([nn.Tanh()] if bounded else []))

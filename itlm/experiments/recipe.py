"""Networks, schedules and scales of the experiments on images of 32 x 32 pixels."""

import math
from dataclasses import dataclass

from torch import nn

from ..deep import networks, training
from ..deep.inputs import AUGMENT
from ..parameters import Parameters, flag, one_of, parameter, real, whole

__all__ = ["SCALES", "Recipe", "make_network", "schedule", "step_settings"]

# The dependencies include no labelled colour images, so the demo uses digits. The "cpu" and "modern" values were chosen
# on held-out training images, with the baseline and the oracle only: "cpu" so that the baseline learns wrong labels
# (sweeps/cifar_recipe.yaml), "modern" so that the oracle is good (sweeps/cifar_modern_recipe.yaml).
SCALES = {
    "demo": {"dataset": "mnist5k", "n": 3000,
             "network": "small", "width": 16, "stem": 2, "normalisation": "batch", "whiten": False,
             "early": 3, "early_epochs": 4.0, "epochs": 16.0, "rounds": 1, "batch": 100,
             "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "shape": "one_cycle", "augment": "none", "half": False},
    "cpu": {"dataset": "cifar10", "n": 25_000,
            "network": "small", "width": 32, "stem": 2, "normalisation": "batch", "whiten": True,
            "early": 4, "early_epochs": 8.0, "epochs": 16.0, "rounds": 1, "batch": 100,
            "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "shape": "one_cycle", "augment": "mirror", "half": True},
    "modern": {"dataset": "cifar10", "n": 50_000,
               "network": "small", "width": 64, "stem": 2, "normalisation": "batch", "whiten": True,
               "early": 4, "early_epochs": 8.0, "epochs": 16.0, "rounds": 1, "batch": 100,
               "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0005, "shape": "one_cycle", "augment": "shift",
               "half": True},
    "paper": {"dataset": "cifar10", "n": 50_000,
              "network": "wide", "width": 10, "stem": 1, "normalisation": "batch", "whiten": False,
              "early": 4, "early_epochs": 20.0, "epochs": 80.0, "rounds": 4, "batch": 256,
              "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0, "shape": "drop", "augment": "shift", "half": True},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recipe(Parameters):
    """Network and training of a run. Subclasses add the fields ``scale`` and ``seed``.

    Fields that only the small network has raise an error with the wide network.
    """

    n: int | None = parameter(None, whole(100, 60_000), "training images")
    network: str | None = parameter(
        None, one_of("small", "wide"), "network",
        more="`itlm.deep.networks.SmallNet`, or a WideResNet of 16 layers.",
    )  # fmt: skip
    width: int | None = parameter(None, whole(1, 1000), "channels of the small network, or 10 for WideResNet-16-10")
    stem: int | None = parameter(None, whole(1, 2), "stride of the small network's first convolution, pixels")
    normalisation: str | None = parameter(None, one_of("batch", "none"), "normalisation of the small network")
    whiten: bool | None = parameter(None, flag(), "whether the small network starts with whitening filters")
    early: int | None = parameter(None, whole(1, 50), "rounds stopped early, the fit to all samples included")
    early_epochs: float | None = parameter(
        None, real(0, 1000, above_low=True), "epochs over the kept samples in each early round"
    )
    epochs: float | None = parameter(
        None, real(0, 1000, above_low=True), "epochs over all n samples in each full fit",
        more="They fix the number of steps, however many samples are kept.",
    )  # fmt: skip
    rounds: int | None = parameter(None, whole(0, 50), "full rounds after the early ones")
    batch: int | None = parameter(None, whole(1, 10_000), "samples a gradient step")
    lr: float | None = parameter(None, real(0, 10, above_low=True), "peak learning rate of SGD")
    momentum: float | None = parameter(None, real(0, 0.999), "momentum of SGD")
    weight_decay: float | None = parameter(None, real(0, 1), "weight decay of SGD, per step")
    shape: str | None = parameter(None, one_of(*training.SHAPES), "learning rate over a fit")
    augment: str | None = parameter(None, one_of(*AUGMENT), "augmentation in training; shift mirrors too")
    half: bool | None = parameter(None, flag(), "whether to train in half precision on a CPU too")

    def __post_init__(self) -> None:
        super().__post_init__()
        preset = SCALES[self.scale]  # a resolved run has these values with either network
        for name in ("stem", "normalisation", "whiten") if (self.network or preset["network"]) == "wide" else ():
            if (value := getattr(self, name)) not in (None, preset[name]):
                raise ValueError(
                    f"{name}={value!r} is for network='small', and the network is 'wide': leave {name} out, or set "
                    "network='small'"
                )


def make_network(c: Recipe, x, bounded: bool = False) -> nn.Module:
    """Make the network of a resolved recipe, with weights from torch's global generator.

    The training images x, shape (n, 3, 32, 32), determine the whitening filters. If ``bounded``, the logits pass
    through tanh.
    """
    if c.network == "wide":
        network = networks.WideResNet(width=c.width)
    else:
        filters = networks.whitening(x[:500]) if c.whiten else None
        network = networks.SmallNet(width=c.width, stem=c.stem, normalisation=c.normalisation, filters=filters)
    return nn.Sequential(network, nn.Tanh()) if bounded else network


def step_settings(c: Recipe) -> dict:
    """Return the fields that the schedules of a run's fits share."""
    return {name: getattr(c, name) for name in ("batch", "lr", "momentum", "shape", "weight_decay", "augment", "half")}


def schedule(
    t: int, n_seen: int, n: int, *, epochs: float, early: int = 0, early_epochs: float = 0, equal: str = "steps", **rest
) -> training.Schedule:
    """Return the schedule of fit number t.

    Parameters
    ----------
    t, n_seen, n : int
        Number of the fit, from 0; number of samples that the fit sees, and of all samples.
    epochs : float
        Epochs of a full fit, over all n samples if ``equal`` is ``"steps"``, else over the samples that the fit sees.
    early, early_epochs : int, float
        Number of fits stopped early, and their epochs over the samples that they see.
    equal : {"steps", "epochs"}
        Budget that all full fits share. With ``partial``, ``"steps"`` means that all see ``epochs`` n samples, rounded
        down to whole epochs over the samples that each fit sees, as in the authors' code.
    **rest
        Further fields of `itlm.deep.training.Schedule`.

    Raises
    ------
    ValueError
        If the epochs do not fill a batch, or are less than one epoch with ``partial``.
    """
    shared = t >= early and equal == "steps"
    name, value = ("early_epochs", early_epochs) if t < early else ("epochs", epochs)
    if rest.get("partial"):
        whole_epochs = math.floor((value * n / n_seen if shared else value) + 1e-9)
        if not whole_epochs:
            raise ValueError(f"{name}={value} are less than one epoch over {n_seen} samples: raise {name}")
        one = training.Schedule(steps=0, **rest)
        return training.Schedule(steps=whole_epochs * one.batches_of(n_seen), **rest)
    if shared:
        return training.Schedule(epochs=epochs, **rest)
    return training.Schedule(steps=training.filled_steps(value, n_seen, rest["batch"], name), **rest)

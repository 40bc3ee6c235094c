"""Algorithm 2: BatchSGD on the kept samples, with the data as tensors on the device.

There is no loader: an epoch is a permutation, a batch is a slice of it, a selection is a mask. The module knows nothing
of label noise: the truth about the samples is not an input.

Source: Shen & Sanghavi, ICML 2019, Algorithm 2 (step size eta, M gradient steps, batch size N, optional
re-initialisation).
"""

import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ..errors import Diverged
from ..parameters import Parameters, flag, one_of, parameter, real, whole
from ..trimming import unmasked
from .checkpoints import Checkpoint
from .inputs import AUGMENT, augmented
from .networks import initialised, pick_device
from .threads import few_threads

__all__ = [
    "Schedule", "batches", "count_steps", "filled_steps", "steps_of", "Fitted", "fit", "outputs", "sample_losses",
    "derived_seed", "progress",
]  # fmt: skip

_SHAPES = {
    "constant": lambda part: 1.0,
    "drop": lambda part: 1.0 if part < 0.6 else 0.2,
    "one_cycle": lambda part: part / 0.2 if part < 0.2 else (1 - part) / 0.8,
}
SHAPES = tuple(_SHAPES)


@dataclass(frozen=True, kw_only=True)
class Schedule(Parameters):
    """Settings for fitting one model. Give exactly one of ``epochs`` and ``steps``."""

    epochs: float | None = parameter(
        None, real(0, 1e9), "epochs over all n samples", none="see steps",
        more="The number of steps is floor(epochs n / batch), however many samples are kept.",
    )  # fmt: skip
    steps: int | None = parameter(None, whole(), "gradient steps (M in Algorithm 2)", none="see epochs")
    batch: int = parameter(100, whole(1), "samples a step (N in Algorithm 2)")
    partial: bool = parameter(
        False, flag(), "whether an epoch ends with a smaller batch if its samples do not fill the last one",
        more="Otherwise the samples left over are skipped in that epoch. Needs ``steps``.",
    )  # fmt: skip
    lr: float = parameter(0.1, real(0, 1e9), "peak learning rate (eta in Algorithm 2)")
    shape: str = parameter(
        "constant", one_of(*SHAPES), "learning rate over time",
        more="It is constant, falls to a fifth after 60 % of the steps, or rises linearly to the peak over the first "
        "20 % and then falls linearly to 0.",
    )  # fmt: skip
    momentum: float = parameter(0.0, real(0, 0.999), "momentum of SGD", more="Nesterov's form is used if it is not 0.")
    weight_decay: float = parameter(0.0, real(0, 1e9), "L2 penalty per step on all parameters")
    augment: str = parameter(
        "none", one_of(*AUGMENT), "augmentation of the training images",
        more="Mirror each image half of the time; or also shift it by up to 4 pixels, reflected at the border.",
    )  # fmt: skip
    half: bool = parameter(
        False, flag(), "whether to train under autocast on a CPU too, as always on a GPU",
        more="The type is bfloat16, or float16 on a GPU without bfloat16. Training on a CPU is about 1.6 times as "
        "fast if the CPU has bfloat16 instructions (AVX512-BF16, AMX), else slower. Scoring stays in float32.",
    )  # fmt: skip
    compiled: bool = parameter(
        False, flag(), "whether to train through torch.compile",
        more="The first step costs about a minute more; long fits on a GPU get faster.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"give exactly one of epochs and steps, got epochs={self.epochs}, steps={self.steps}")

        if self.partial and self.steps is None:
            raise ValueError(
                f"partial=True needs steps, got epochs={self.epochs}: steps an epoch depend on the samples kept"
            )

    def n_steps(self, n: int) -> int:
        """Return the number of gradient steps of one fit; n counts all samples, kept or dropped."""
        return self.steps if self.steps is not None else count_steps(self.epochs, n, self.batch)

    @property
    def least(self) -> int:
        """The smallest number of samples that a fit can see."""
        return 1 if self.partial else self.batch

    def batches_of(self, n_kept: int) -> int:
        """Return the number of batches in one epoch over the kept samples."""
        return -(-n_kept // self.batch) if self.partial else n_kept // self.batch

    def visits(self, n: int, n_kept: int) -> int:
        """Return the number of sample visits of one fit to ``n_kept`` of n samples."""
        if not self.partial:
            return self.n_steps(n) * self.batch
        epochs, more = divmod(self.n_steps(n), self.batches_of(n_kept))
        return epochs * n_kept + more * self.batch

    def lr_at(self, step: int, n_steps: int) -> float:
        """Return the learning rate of a step, 0 <= step < n_steps."""
        return self.lr * _SHAPES[self.shape](step / n_steps)


def count_steps(epochs: float, n: int, batch: int) -> int:
    """Return the number of gradient steps of ``epochs`` over n samples: floor(epochs n / batch)."""
    return math.floor(epochs * n / batch + 1e-9)


def filled_steps(epochs: float, n: int, batch: int, name: str = "epochs") -> int:
    """Return `count_steps`, but raise ValueError if epochs above 0 do not fill a batch; ``name`` is their field."""
    steps = count_steps(epochs, n, batch)
    if epochs and not steps:
        raise ValueError(
            f"{name}={epochs} over n={n} samples do not fill a batch of {batch}: raise {name} or n, or lower batch"
        )
    return steps


def steps_of(schedule: Schedule, n: int) -> int:
    """Return `Schedule.n_steps`, but raise ValueError if the fit would not change the weights.

    Such a fit has epochs that do not fill a batch, or a cycle of one step, whose learning rate is 0.
    """
    steps = schedule.steps if schedule.epochs is None else filled_steps(schedule.epochs, n, schedule.batch)
    if steps == 1 and schedule.shape == "one_cycle":
        raise ValueError("shape='one_cycle' starts at lr=0, and this fit has a single step: raise epochs or steps")
    return steps


def batches(n: int, schedule: Schedule, generator: torch.Generator, kept=None) -> Iterator[torch.Tensor]:
    """Yield the batches of one fit, ``schedule.n_steps(n)`` in all, as indices into the n samples: int64, (batch,).

    Each epoch over the kept samples is a fresh permutation, cut into batches. Samples that do not fill a batch are left
    out of that epoch, or are a smaller batch if ``schedule.partial``.

    Parameters
    ----------
    n : int
        Number of samples, kept or dropped.
    schedule : Schedule
        Batch size and number of steps.
    generator : torch.Generator
        Draws the permutations; its device is the device of the indices.
    kept : tensor of bool, shape (n,), optional
        The samples to draw from; all by default.

    Raises
    ------
    ValueError
        If fewer samples are kept than fill a batch, or none if ``schedule.partial``.
    """
    device = generator.device
    pool = torch.arange(n, device=device) if kept is None else kept.to(device).nonzero().squeeze(1)
    if len(pool) < schedule.least:
        raise ValueError(
            f"kept has {len(pool)} samples, fewer than a batch of {schedule.least}: lower batch or raise the fraction "
            "kept"
        )
    left = schedule.n_steps(n)
    while left > 0:
        order = pool[torch.randperm(len(pool), generator=generator, device=device)]
        for batch in order.split(schedule.batch)[: min(left, schedule.batches_of(len(pool)))]:
            yield batch
            left -= 1


class Fitted(NamedTuple):
    """The result of `fit`: ``network``, in eval mode on the device, and ``history``, ``watch``'s values by epoch."""

    network: nn.Module
    history: list


def fit(
    make_network: Callable[[], nn.Module],
    x: torch.Tensor,
    y: torch.Tensor,
    kept,
    schedule: Schedule,
    *,
    seed: int,
    loss=nn.functional.cross_entropy,
    device: str = "auto",
    checkpoint: str | os.PathLike | None = None,
    watch: Callable[[nn.Module, int], object] | None = None,
    note: str = "fit",
) -> Fitted:
    """Fit a new network to the kept samples by SGD (Algorithm 2, re-initialised); return `Fitted`.

    Parameters
    ----------
    make_network : callable, () -> torch.nn.Module
        Makes the network.
    x : tensor or array of float, shape (n, channels, height, width)
        Inputs; moved to the device once if they are on another. An array becomes float32.
    y : tensor or array of int, shape (n,)
        Labels as given; they become int64.
    kept : tensor or array of bool, shape (n,), or None
        The samples to fit (S_t); None for all.
    schedule : Schedule
        Steps, batch, learning rate.
    seed : int
        Seeds the initial weights, the batches and the augmentation.
    loss : callable, (output, y, reduction="mean") -> tensor
        Default cross-entropy.
    device : str
        ``"auto"`` is the GPU if there is one. On a GPU the network is trained under autocast.
    checkpoint : path, optional
        File for the state after each epoch, removed at the end; a killed fit resumes from this file. On a CPU a resumed
        fit gives the same weights if the loss has no memory. A checkpoint of another fit (schedule, seed, loss by its
        name, initial weights, data, selection) is refused. One from another kind of device is ignored, with a warning.
    watch : callable, (network, step) -> object, optional
        Called after each epoch with the network in eval mode and the number of steps taken. It must not change
        anything: the fit is the same with and without it. It returns numbers, text, lists or dicts of these, which the
        checkpoint keeps and ``history`` collects.
    note : str
        Name of the progress bar.

    Raises
    ------
    itlm.errors.Diverged
        If the loss is not finite; the message names the epoch and the step.
    itlm.errors.Refused
        For a checkpoint of another fit.
    ValueError
        For x or y of another shape or dtype, epochs too few for a step, fewer samples than a batch, or labels outside
        the network's classes.
    """
    x, y, kept = _checked(x, y, kept, pick_device(device))
    n_steps, device = steps_of(schedule, len(x)), x.device
    network = initialised(make_network, seed).to(device)
    _check_labels(network, x, y)
    generator = torch.Generator(device).manual_seed(seed)
    optimizer = _sgd(network, schedule)
    # Channels-last is the faster layout on CPU and GPU; these networks are 1.5 times as fast on a CPU.
    network, x = network.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    half, scaler = _precision(device)
    every = max(1, schedule.batches_of(len(x) if kept is None else int(kept.sum())))  # steps an epoch
    history = []
    state = Checkpoint(checkpoint, network, optimizer, scaler, generator, (schedule, seed, loss, kept, x, y), history)
    step = first = state.load()
    network.train()
    forward = torch.compile(network) if schedule.compiled else network  # shares the weights; for training only
    total = torch.zeros((), device=device)
    with few_threads(network, x, schedule.batch), progress(n_steps, note, done=first) as bar:
        for batch in batches(len(x), replace(schedule, epochs=None, steps=n_steps - first), generator, kept):
            for group in optimizer.param_groups:
                group["lr"] = schedule.lr_at(step, n_steps)
            inputs = augmented(x[batch], schedule.augment, generator)
            with torch.autocast(device.type, dtype=half, enabled=device.type == "cuda" or schedule.half):
                value = loss(forward(inputs), y[batch])
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(value).backward()
            scaler.step(optimizer)
            scaler.update()
            total += value.detach()
            step += 1
            if step % every == 0 or step == n_steps:  # once an epoch: reading the loss stalls the GPU
                if not math.isfinite(total.item()):
                    raise Diverged(
                        f"the training loss is {total.item()} in epoch {math.ceil(step / every)} over the kept samples "
                        f"(step {step} of {n_steps}); lower lr={schedule.lr}, or look for broken samples"
                    )
                bar.update(step - bar.n)
                total.zero_()
                if watch:
                    history.append(watch(network.eval(), step))
                    network.train()
                if step < n_steps and step % every == 0:
                    state.save(step)
    state.clear()
    return Fitted(network.eval(), history)


def _sgd(network, schedule: Schedule) -> torch.optim.SGD:
    """Make the optimizer of a fit."""
    return torch.optim.SGD(
        network.parameters(),
        lr=schedule.lr,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
        nesterov=schedule.momentum > 0,
    )


def _precision(device: torch.device) -> tuple[torch.dtype, torch.amp.GradScaler]:
    """Return the type that autocast uses on a device, and the scaler that float16 needs, else disabled."""
    with_bf16 = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    half = torch.bfloat16 if with_bf16 else torch.float16
    return half, torch.amp.GradScaler(device.type, enabled=half is torch.float16)


def _checked(x, y, kept, device):
    """Check the data of a fit, and move them to the device."""
    x, y = _tensor("x", x), _labels(y)
    if not x.is_floating_point():
        raise ValueError(f"x must be float, got {x.dtype}: scale it first, uint8 images by itlm.deep.inputs.to_tensor")
    if y.dtype != torch.int64:
        raise ValueError(f"y must be integer labels, got {y.dtype}: number the classes 0, 1, 2, ...")
    if x.ndim != 4:
        raise ValueError(f"x must have shape (n, channels, height, width), got {tuple(x.shape)}: reshape it")
    if y.shape != (len(x),):
        raise ValueError(f"y must have one label for each of the {len(x)} samples in x, got shape {tuple(y.shape)}")
    if kept is not None:
        kept = _tensor("kept", kept).to(device)
        if kept.dtype != torch.bool or kept.shape != (len(x),):
            raise ValueError(
                f"kept must be a bool mask of shape ({len(x)},), got {kept.dtype} of shape {tuple(kept.shape)}"
            )
    return x.to(device), y.to(device), kept


@torch.no_grad()
def sample_losses(
    network: nn.Module, x: torch.Tensor, y: torch.Tensor, *, loss=nn.functional.cross_entropy, batch: int = 500
) -> torch.Tensor:
    """Score every sample: the losses that trimming sorts, float32, shape (n,), on the network's device.

    Scoring is in eval mode and float32, without augmentation or autocast. Convolutions on a GPU use TF32 if torch does.

    Parameters
    ----------
    network : torch.nn.Module
        The model theta_t; its mode is restored afterwards.
    x, y, loss
        As for `fit`; here the loss is called with ``reduction="none"``.
    batch : int
        Number of samples in one forward pass.
    """
    device, x, y = next(network.parameters()).device, _tensor("x", x), _labels(y)
    modes = [(module, module.training) for module in network.modules()]  # parts may differ in mode
    network.eval()
    try:
        with few_threads(network, x, batch):
            parts = [
                loss(network(a.to(device)), b.to(device), reduction="none")
                for a, b in zip(x.split(batch), y.split(batch), strict=True)
            ]
    finally:
        for module, mode in modes:
            module.training = mode
    return torch.cat(parts)


@torch.no_grad()
def outputs(network: nn.Module, x: torch.Tensor, *, batch: int = 1000) -> torch.Tensor:
    """Return a network's outputs for all samples, in its present mode: (n, n_classes), on its device."""
    device, x = next(network.parameters()).device, _tensor("x", x)
    with few_threads(network, x, batch):
        return torch.cat([network(part.to(device)) for part in x.split(batch)])


def derived_seed(seed: int, t: int) -> int:
    """Return the seed of fit number t of a run; the fit's randomness depends on (seed, t) alone."""
    return int(np.random.SeedSequence([seed, t]).generate_state(1)[0])


def progress(n_steps: int, note: str, *, done: int = 0) -> tqdm:
    """Make a progress bar that vanishes at the end; outside a terminal it updates every 5 seconds."""
    often = 0.2 if sys.stderr.isatty() else 5.0  # seconds
    return tqdm(total=n_steps, initial=done, desc=note, unit="step", leave=False, delay=2, mininterval=often)


def _labels(y) -> torch.Tensor:
    """Return integer labels as a tensor of int64, and others as they are."""
    y = _tensor("y", y)
    return y if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool else y.long()


def _tensor(name: str, values) -> torch.Tensor:
    """Return a tensor as it is; of an array, make one of float32 (the type of the weights), int64 or bool."""
    if isinstance(values, torch.Tensor):
        return values
    values, kinds = unmasked(name, values), {"f": np.float32, "i": np.int64, "u": np.int64, "b": np.bool_}
    if values.dtype.kind not in kinds:
        raise ValueError(f"{name} must be a tensor or an array of numbers, got dtype {values.dtype}")
    return torch.tensor(values.astype(kinds[values.dtype.kind], order="C"))


def _check_labels(network, x, y) -> None:
    with torch.no_grad():
        n_classes = network.eval()(x[:1]).shape[-1]
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= n_classes:
        raise ValueError(f"y has labels {low}..{high}, but the network has {n_classes} outputs (0..{n_classes - 1})")

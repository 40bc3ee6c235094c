"""Algorithm 2: BatchSGD on the kept samples, with the data as tensors on the device.

No loader: an epoch is a permutation, a batch is a slice of it, a selection is a mask. The module knows
nothing of label noise; what is bad never comes in.

Source: Shen & Sanghavi, ICML 2019, Algorithm 2 (step size eta, M gradient steps, batch size N, optional
re-initialisation).
"""

import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from .checkpoints import Checkpoint
from .config import real, whole
from .networks import initialised, pick_device

__all__ = [
    "Schedule",
    "batches",
    "count_steps",
    "filled_steps",
    "steps_of",
    "fit",
    "Diverged",
    "outputs",
    "sample_losses",
    "augmented",
    "derived_seed",
    "pick_device",
    "to_tensor",
]


class Diverged(RuntimeError):
    """A training loss became NaN or infinite; the message says when."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How one model is fitted.

    Attributes
    ----------
    epochs : float or None
        Passes over *all* n samples. They fix the number of steps, floor(epochs n / batch), whatever the
        number of samples kept: models fitted to fewer samples get the same number of steps.
    steps : int or None
        Gradient steps (M in Algorithm 2), given directly. Exactly one of ``epochs`` and ``steps``.
    batch : int
        Samples a step (N in Algorithm 2).
    lr : float
        Peak learning rate (eta in Algorithm 2).
    shape : {"constant", "drop", "one_cycle"}
        The learning rate over time: the same throughout; divided by 5 after 60 % of the steps; or up
        linearly to the peak over the first 20 % and down linearly to 0.
    momentum : float in [0, 1)
        Of SGD, in Nesterov's form where it is not 0.
    weight_decay : float, at least 0
        L2 penalty, per step, on all parameters.
    augment : {"none", "mirror", "shift"}
        Mirror each image half of the time; or that, and shift it by up to 4 pixels, reflected at the border.
    half : bool
        Train under autocast on a CPU too, as always on a GPU: in bfloat16, on a GPU without it in float16. About
        1.6 times as fast where the CPU has instructions for it (AVX512-BF16, AMX), and slower where it has not.
        Scoring stays in float32.
    compiled : bool
        Train through ``torch.compile``: a minute or so at the first step; worth it for long fits on a GPU.
    """

    epochs: float | None = None
    steps: int | None = None
    batch: int = 100
    lr: float = 0.1
    shape: str = "constant"
    momentum: float = 0.0
    weight_decay: float = 0.0
    augment: str = "none"
    half: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"give exactly one of epochs and steps, got epochs={self.epochs}, steps={self.steps}")
        for name, allowed in _RANGES.items():
            if allowed.check(name, getattr(self, name)) == math.inf:
                raise ValueError(f"{name} must be finite, got {getattr(self, name)}")
        for name, known in (("shape", _SHAPES), ("augment", AUGMENT)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum}")

    def n_steps(self, n: int) -> int:
        """Count the gradient steps of one fit, where n samples are all there are."""
        return self.steps if self.steps is not None else count_steps(self.epochs, n, self.batch)

    def lr_at(self, step: int, n_steps: int) -> float:
        """Learning rate of a step, 0 <= step < n_steps."""
        return self.lr * _SHAPES[self.shape](step / n_steps)


def count_steps(epochs: float, n: int, batch: int) -> int:
    """Count the gradient steps of so many passes over n samples: floor(epochs n / batch)."""
    return math.floor(epochs * n / batch + 1e-9)


def filled_steps(epochs: float, n: int, batch: int, name: str = "epochs") -> int:
    """Count steps as `count_steps` does, and refuse passes, named by their field, that do not fill a batch.

    Raises
    ------
    ValueError
        The fit would give its initial weights.
    """
    steps = count_steps(epochs, n, batch)
    if epochs and not steps:
        raise ValueError(
            f"{name}={epochs} over n={n} samples do not fill a batch of {batch}: raise {name} or n, or lower batch"
        )
    return steps


def steps_of(schedule: Schedule, n: int) -> int:
    """Count the steps of a fit, as `Schedule.n_steps` does, and refuse a schedule that would not move the weights.

    Raises
    ------
    ValueError
        If the passes asked for do not fill a batch, or the only step of a cycle has a learning rate of 0.
    """
    steps = schedule.steps if schedule.epochs is None else filled_steps(schedule.epochs, n, schedule.batch)
    if steps == 1 and schedule.shape == "one_cycle":
        raise ValueError("shape='one_cycle' begins at a learning rate of 0, and this fit has a single step: take more")
    return steps


AUGMENT = ("none", "mirror", "shift")
_RANGES = {
    "epochs": real(optional=True),
    "steps": whole(optional=True),
    "batch": whole(1),
    "lr": real(),
    "weight_decay": real(),
}
_SHAPES = {
    "constant": lambda part: 1.0,
    "drop": lambda part: 1.0 if part < 0.6 else 0.2,
    "one_cycle": lambda part: part / 0.2 if part < 0.2 else (1 - part) / 0.8,
}


def batches(n: int, schedule: Schedule, generator: torch.Generator, kept=None) -> Iterator[torch.Tensor]:
    """Yield the batches of one fit, each as indices into the n samples.

    Each pass over the kept samples is a fresh permutation, cut into batches; what does not fill a batch is
    left out of that pass. Passes follow each other until ``schedule.n_steps(n)`` batches were given.

    Parameters
    ----------
    n : int
        Number of samples, kept or not.
    schedule : Schedule
        Batch size and number of steps.
    generator : torch.Generator
        Of the permutations; its device is the indices' device.
    kept : tensor of bool, shape (n,), optional
        The samples to draw from; all by default.

    Yields
    ------
    tensor of int64, shape (batch,)

    Raises
    ------
    ValueError
        If fewer samples are kept than fill a batch.
    """
    device = generator.device
    pool = torch.arange(n, device=device) if kept is None else kept.to(device).nonzero().squeeze(1)
    if len(pool) < schedule.batch:
        raise ValueError(
            f"kept has {len(pool)} samples, fewer than a batch of {schedule.batch}: lower batch or raise the fraction "
            "kept"
        )
    left = schedule.n_steps(n)
    while left > 0:
        order = pool[torch.randperm(len(pool), generator=generator, device=device)]
        for batch in order.split(schedule.batch)[: min(left, len(pool) // schedule.batch)]:
            yield batch
            left -= 1


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
    seen: list | None = None,
    note: str = "fit",
) -> nn.Module:
    """Fit a new network to the kept samples by SGD (Algorithm 2, re-initialised).

    Parameters
    ----------
    make_network : callable, () -> torch.nn.Module
        Makes the network.
    x : tensor, shape (n, channels, height, width)
        Inputs, float; moved to the device once if they are not there.
    y : tensor of int64, shape (n,)
        Labels as given.
    kept : tensor or array of bool, shape (n,), or None
        The samples to fit (S_t); None for all.
    schedule : Schedule
        Steps, batch, learning rate.
    seed : int
        Of the initial weights, the batches and the augmentation.
    loss : callable, (output, y, reduction="mean") -> tensor
        Default cross-entropy.
    device : str
        ``"auto"`` takes the GPU where there is one. On a GPU the network is trained under autocast.
    checkpoint : path, optional
        File that holds the state after each pass; a fit that was killed goes on from there, on a CPU to the same
        weights if the loss has no memory, and the file is removed. A checkpoint of another fit (schedule, seed, loss by
        its name, initial weights, data, selection) is refused; one from another kind of device is ignored, with a
        warning.
    watch : callable, (network, step) -> object, optional
        Called after each pass with the network in eval mode and the number of steps taken, to look and not
        to touch: what is fitted is the same with and without it. What it returns goes into ``seen``.
    seen : list, optional
        Gets what ``watch`` returns, pass by pass; numbers, text, lists and dicts of such, which the checkpoint keeps.
    note : str
        What the progress bar is called.

    Returns
    -------
    torch.nn.Module
        In eval mode, on the device.

    Raises
    ------
    Diverged
        When the loss is no longer finite; says at which pass and step.
    ValueError
        For x or y of another shape, epochs too few for a step, fewer samples than a batch, labels outside the
        network's classes, a checkpoint of another fit.
    """
    if x.ndim != 4:
        raise ValueError(f"x must have shape (n, channels, height, width), got {tuple(x.shape)}: reshape it")
    if y.shape != (len(x),):
        raise ValueError(f"y must have one label for each of the {len(x)} samples in x, got shape {tuple(y.shape)}")
    device = pick_device(device)
    x, y = x.to(device), y.to(device)
    if kept is not None:
        kept = torch.as_tensor(kept, device=device)
        if kept.dtype != torch.bool or kept.shape != (len(x),):
            raise ValueError(
                f"kept must be a bool mask of shape ({len(x)},), got {kept.dtype} of shape {tuple(kept.shape)}"
            )
    n_steps = steps_of(schedule, len(x))
    network = initialised(make_network, seed).to(device)
    _check_labels(network, x, y)
    generator = torch.Generator(device).manual_seed(seed)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=schedule.lr,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
        nesterov=schedule.momentum > 0,
    )
    # Channels-last is the faster layout on both: half as fast again for these networks on a CPU.
    network, x = network.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    on_gpu = device.type == "cuda"
    with_bf16 = not on_gpu or torch.cuda.is_bf16_supported(including_emulation=False)
    half = torch.bfloat16 if with_bf16 else torch.float16
    scaler = torch.amp.GradScaler(device.type, enabled=on_gpu and half is torch.float16)

    n_kept = len(x) if kept is None else int(kept.sum())
    every = max(1, n_kept // schedule.batch)  # steps a pass
    seen = [] if seen is None else seen
    state = Checkpoint(checkpoint, network, optimizer, scaler, generator, (schedule, seed, loss, kept, x, y), seen)
    step = first = shown = state.load()
    network.train()
    forward = torch.compile(network) if schedule.compiled else network  # shares the weights; only training goes through
    total = torch.zeros((), device=device)
    with tqdm(total=n_steps, initial=first, desc=note, unit="step", leave=False, delay=2, **_PACE) as bar:
        for batch in batches(len(x), _from(schedule, n_steps - first), generator, kept):
            for group in optimizer.param_groups:
                group["lr"] = schedule.lr_at(step, n_steps)
            inputs = augmented(x[batch], schedule.augment, generator)
            with torch.autocast(device.type, dtype=half, enabled=on_gpu or schedule.half):
                value = loss(forward(inputs), y[batch])
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(value).backward()
            scaler.step(optimizer)
            scaler.update()
            total += value.detach()
            step += 1
            if step % every == 0 or step == n_steps:  # once a pass: looking costs the GPU a wait
                if not math.isfinite(total.item()):
                    raise Diverged(
                        f"the training loss is {total.item()} in pass {math.ceil(step / every)} over the kept samples "
                        f"(step {step} of {n_steps}); lower lr={schedule.lr}, or look for broken samples"
                    )
                bar.update(step - shown)
                shown = step
                total.zero_()
                if watch:
                    seen.append(watch(network.eval(), step))
                    network.train()
                if step < n_steps and step % every == 0:
                    state.save(step)
    state.clear()
    return network.eval()


@torch.no_grad()
def sample_losses(
    network: nn.Module, x: torch.Tensor, y: torch.Tensor, *, loss=nn.functional.cross_entropy, batch: int = 500
) -> torch.Tensor:
    """Score every sample: the losses that trimming sorts.

    In eval mode, without augmentation, in float32 without autocast; convolutions on a GPU use TF32 where torch does.

    Parameters
    ----------
    network : torch.nn.Module
        The model theta_t; its mode is put back afterwards.
    x : tensor, shape (n, channels, height, width)
        Inputs.
    y : tensor of int64, shape (n,)
        Labels as given.
    loss : callable, (output, y, reduction="none") -> tensor
        Default cross-entropy.
    batch : int
        Samples a forward pass.

    Returns
    -------
    tensor of float32, shape (n,)
        On the network's device.
    """
    device = next(network.parameters()).device
    modes = [(module, module.training) for module in network.modules()]  # a part may be frozen
    network.eval()
    try:
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
    """Give a network's outputs for all samples, in whatever mode it is: (n, n_classes), on its device."""
    device = next(network.parameters()).device
    return torch.cat([network(part.to(device)) for part in x.split(batch)])


def augmented(x: torch.Tensor, how: str, generator: torch.Generator) -> torch.Tensor:
    """Mirror and shift images at random, as `Schedule` has it.

    Parameters
    ----------
    x : tensor, shape (n, channels, height, width)
        Images; left as they are.
    how : {"none", "mirror", "shift"}
        What is done.
    generator : torch.Generator
        On the images' device.

    Returns
    -------
    tensor, shape (n, channels, height, width)
    """
    if how == "none":
        return x
    n, _, height, width = x.shape
    most = 4 if how == "shift" else 0
    padded = nn.functional.pad(x, (most,) * 4, mode="reflect")
    draw = lambda high, size: torch.randint(high, size, generator=generator, device=x.device)  # noqa: E731
    rows = draw(2 * most + 1, (n, 1, 1)) + torch.arange(height, device=x.device)[:, None]  # (n, height, 1)
    columns = torch.arange(width, device=x.device).expand(n, 1, width)
    columns = torch.where(draw(2, (n, 1, 1)).bool(), columns, columns.flip(-1))
    columns = columns + draw(2 * most + 1, (n, 1, 1))  # (n, 1, width)
    sample = torch.arange(n, device=x.device)[:, None, None]
    return padded[sample, :, rows, columns].permute(0, 3, 1, 2)


def derived_seed(seed: int, t: int) -> int:
    """Return the seed of fit number t of a run: all its randomness derives from (seed, t)."""
    return int(np.random.SeedSequence([seed, t]).generate_state(1)[0])


def to_tensor(images, like=None) -> torch.Tensor:
    """Turn uint8 images into float inputs of mean 0 and standard deviation 1 per channel.

    Parameters
    ----------
    images : array of uint8, shape (n, height, width) or (n, height, width, channels)
        Grey or colour images.
    like : array of uint8, optional
        The images whose mean and standard deviation count: the training images, for the test images.

    Returns
    -------
    tensor of float32, shape (n, channels, height, width)
    """

    def scaled(pixels):
        x = torch.tensor(pixels).float().div_(255)
        return (x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2)).contiguous()

    x = scaled(images)
    reference = x if like is None else scaled(like)
    dims = (0, 2, 3)
    return (x - reference.mean(dims, keepdim=True)) / reference.std(dims, keepdim=True).clamp_min(1e-6)


# Progress: a bar that is gone afterwards. A log or a notebook gets a line now and then, not a flood.
_PACE = {"mininterval": 0.2 if sys.stderr.isatty() else 5.0}


def _from(schedule: Schedule, left: int) -> Schedule:
    return Schedule(**{**asdict(schedule), "epochs": None, "steps": left})


def _check_labels(network, x, y) -> None:
    with torch.no_grad():
        n_classes = network.eval()(x[:1]).shape[-1]
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= n_classes:
        raise ValueError(f"y has labels {low}..{high}, but the network has {n_classes} outputs (0..{n_classes - 1})")

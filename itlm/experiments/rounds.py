"""The engine of the experiments with networks: fits, rounds of ITLM, methods without rounds, and their record.

    settings = Settings(make_network=..., schedule=..., seed=0)
    for step in itlm(settings, given, alpha=0.55, rounds=5): ...     Algorithm 1
    step = once(settings, given, kept, by=("alpha", 0.55))           one fit to a selection made beforehand

The engine has its own settings, not an experiment's configuration. It reads ``x`` and ``y`` of a run's data, no truth.
"""

import copy
import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from ..audit import ErrorShare, error_share
from ..deep import checkpoints, training
from ..deep.inputs import augmented
from ..rivals import labels as rivals
from ..trimming import Round, iterate, n_kept

__all__ = [
    "Settings", "SingleRound", "fit", "itlm", "must_fill_a_batch", "once", "record", "rival", "share_of", "single",
]  # fmt: skip

SCORING = 1000  # above all fit numbers, so that augmented scoring and fits never share a seed
SHARING = 2000  # above those, for the fits that estimate the share of wrong samples
SHARE_COST = 3.0  # what these cost at most, in fits to all samples: one, and four to half of them


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the fits of one run.

    Attributes
    ----------
    make_network : callable, () -> torch.nn.Module
        Makes an untrained network, with weights from torch's global generator.
    schedule : callable, (t, n_seen) -> itlm.deep.training.Schedule
        Returns the schedule of fit number t, which sees n_seen samples.
    seed : int
        Seeds every fit, together with the fit's number t.
    note : str
        Name of the progress bars.
    warm : bool
        Whether each fit starts from the weights of the previous fit.
    augment_scoring : {"none", "mirror", "shift"}
        Augmentation of the samples for scoring.
    unseen : tensor of bool, shape (n,), or None
        Samples that no fit sees.
    chosen_on : pair of tensors, or None
        Images and labels that choose each fit's best epoch; None chooses the last epoch.
    """

    make_network: Callable[[], nn.Module]
    schedule: Callable[[int, int], training.Schedule]
    seed: int
    note: str = "fit"
    warm: bool = False
    augment_scoring: str = "none"
    unseen: torch.Tensor | None = None
    chosen_on: tuple[torch.Tensor, torch.Tensor] | None = None


@dataclass(frozen=True, eq=False, repr=False)
class SingleRound(Round):
    """The single round of a method without rounds.

    ``kept`` are the samples trained on, or trusted at the end; ``history`` holds the numbers watched in each epoch.
    """

    history: tuple = ()


def fit(s: Settings, given, kept, t: int, *, before=None, checkpoint=None, watch=None) -> training.Fitted:
    """Run fit number t.

    Parameters
    ----------
    s, given : Settings, object with ``x`` and ``y``
        Settings of the run's fits, and the run's data.
    kept : tensor of bool, shape (n,), or None
        The samples to fit; None for all.
    t : int
        Number of the fit; determines its seed and its schedule.
    before : torch.nn.Module, optional
        Network of the previous fit, for a warm start.
    checkpoint, watch : optional
        As for `itlm.deep.training.fit`. The fit's number is appended to the path, so fits never share a file. With
        ``s.chosen_on`` no checkpoint is written, because a checkpoint does not hold the best epoch so far.
    """
    seen = kept
    if s.unseen is not None:
        seen = ~s.unseen if kept is None else kept.to(s.unseen.device) & ~s.unseen
    schedule = s.schedule(t, len(given.y) if seen is None else int(seen.sum()))
    start = partial(copy.deepcopy, before) if s.warm and before is not None else s.make_network
    how = {"seed": training.derived_seed(s.seed, t), "note": f"{s.note} {t}"}
    if s.chosen_on is not None:
        best = _Best(*s.chosen_on)
        fitted = training.fit(start, given.x, given.y, seen, schedule, watch=best.look, **how)
        return training.Fitted(best.put_back(fitted.network), [])
    checkpoint = checkpoint and f"{checkpoint}{t}"
    return training.fit(start, given.x, given.y, seen, schedule, checkpoint=checkpoint, watch=watch, **how)


class _Best:
    """The weights of the epoch with the highest accuracy on some labelled images."""

    def __init__(self, x, y):
        self.x, self.y, self.highest, self.state = x, y, -1.0, None

    def look(self, network, step):
        right = training.outputs(network, self.x).argmax(1) == self.y
        if (accuracy := float(right.double().mean())) > self.highest:
            self.highest, self.state = accuracy, {k: v.clone() for k, v in network.state_dict().items()}

    def put_back(self, network):
        if self.state is not None:
            network.load_state_dict(self.state)
        return network


def itlm(
    s: Settings, given, alpha: float, rounds: int, *, groups=None, start: int = 0, theta=None, checkpoint=None
) -> Iterator[Round]:
    """Run ITLM, yielding each round as it comes.

    Parameters
    ----------
    s, given, checkpoint
        As for `fit`.
    alpha : float in (0, 1]
        Fraction kept.
    rounds : int
        Number of updates (T), after the fit to all samples.
    groups : tensor of int, shape (n,), optional
        Groups to trim within.
    start, theta
        Round to resume from, and the network that the round begins with.

    Raises
    ------
    ValueError
        If the kept samples do not fill a batch.
    """
    n = len(given.y)
    if rounds:
        must_fill_a_batch(n_kept(n, alpha), n, s.schedule(0, n).least, "alpha", alpha)

    def update(theta, kept, t):
        return fit(s, given, kept, t + 1, before=theta, checkpoint=checkpoint).network

    theta = fit(s, given, None, 0, checkpoint=checkpoint).network if theta is None else theta
    for step in iterate(_losses(s, given, start), update, theta, alpha, rounds, start=start, groups=groups):
        _warn_of_emptied_classes(given.y, step)
        yield step


def once(s: Settings, given, kept, *, by: tuple, checkpoint=None, watch=None) -> SingleRound:
    """Fit once to a selection made beforehand; errors as for `itlm`.

    Parameters
    ----------
    s, given, checkpoint, watch
        As for `fit`.
    kept : tensor of bool, shape (n,)
        The selection.
    by : (str, object)
        Name and value of the parameter that determines how many samples are kept, for the error.
    """
    n = len(given.y)
    must_fill_a_batch(int(kept.sum()), n, s.schedule(0, n).least, *by)
    fitted = fit(s, given, kept, 0, checkpoint=checkpoint, watch=watch)
    return single(fitted.network, _losses(s, given)(fitted.network), kept, fitted.history)


def share_of(s: Settings, given, kind) -> ErrorShare:
    """Estimate the share of wrong samples by `itlm.audit.error_share`, with one fit to all and four to parts.

    Each fit has the epochs of the run's first fit, over the samples that it sees. The parameters are as for `fit`;
    ``kind`` is the kind of error that is counted.
    """
    count = itertools.count(SHARING)

    def part(x, y):
        schedule, seed = s.schedule(0, len(given.y)), training.derived_seed(s.seed, next(count))
        if schedule.epochs is None:  # the same epochs over fewer samples
            steps = max(1, round(schedule.steps * schedule.batches_of(len(y)) / schedule.batches_of(len(given.y))))
            schedule = replace(schedule, steps=steps)
        return training.fit(s.make_network, x, y, None, schedule, seed=seed, note=f"{s.note}, share").network

    def losses(network, x, y):
        return training.sample_losses(network, x, y).double().numpy(force=True)

    return error_share(given.x, given.y, part, losses, kind, random_state=s.seed)


def rival(s: Settings, given, name: str, alpha: float) -> SingleRound:
    """Run another author's method, one of `itlm.rivals.labels.METHODS`."""
    seed, schedule = training.derived_seed(s.seed, 0), s.schedule(0, len(given.y))
    network, kept = rivals.METHODS[name](s.make_network, given.x, given.y, alpha, schedule, seed, s.note)
    return single(network, _losses(s, given)(network), kept)


def single(network, losses, kept, history=()) -> SingleRound:
    """Make the single round of a method without rounds."""
    objective = float(losses[kept.to(losses.device)].double().sum())
    left = int((~kept).sum())
    return SingleRound(0, network, losses, kept, float(kept.double().mean()), objective, 0, left, tuple(history))


def _losses(s: Settings, given, start: int = 0) -> Callable:
    """Return the function that computes the losses that trimming sorts, on augmented samples if so set."""
    scored = itertools.count(start)

    def losses(network):
        x = given.x
        if s.augment_scoring != "none":
            generator = torch.Generator(x.device).manual_seed(training.derived_seed(s.seed, SCORING + next(scored)))
            x = torch.cat([augmented(part, s.augment_scoring, generator) for part in x.split(1000)])
        return training.sample_losses(network, x, given.y)

    return losses


def must_fill_a_batch(kept: int, n: int, batch: int, name: str, value) -> None:
    """Raise a ValueError, before any fit, if the kept samples do not fill a batch.

    Parameters
    ----------
    kept, n, batch : int
        Number of kept samples, of all samples, and of samples in a batch.
    name, value
        Parameter that determines how many samples are kept; ``"method"`` if only the method does.
    """
    if kept < batch:
        raise ValueError(
            f"{name}={value!r} keeps {kept} of {n} images, fewer than a batch of {batch}: "
            f"raise {'n' if name == 'method' else f'{name} or n'}, or lower batch"
        )


def _warn_of_emptied_classes(y, step: Round) -> None:
    """Warn if a round keeps no sample of a class."""
    emptied = sorted(set(y.unique().tolist()) - set(y[step.kept].unique().tolist()))
    if emptied:
        warnings.warn(
            f"round {step.t} keeps no sample of class {', '.join(map(str, emptied))}: a model trained on the rest "
            "cannot learn that class; balanced=True trims within each class instead",
            stacklevel=3,
        )


def record(into, rounds: Callable[..., Iterator[Round]], make_network, measure, checkpoint=None) -> None:
    """Record a run's rounds; a killed run resumes.

    Parameters
    ----------
    into : itlm.records.record.Record
        Record that gets the rows.
    rounds : callable, (start, theta, checkpoint) -> iterator of Round
        Yields the run's rounds; called with keywords.
    make_network : callable, () -> torch.nn.Module
        Makes a network into which saved weights can be loaded.
    measure : callable, (Round) -> dict of float
        Measures a round. A round's ``history`` becomes rounds 1, 2, ... of the record.
    checkpoint : path, optional
        File of the run. Each fit's file has the same path with ``.fit`` and a number appended.
    """
    follow = partial(rounds, checkpoint=checkpoint and f"{checkpoint}.fit")
    for step in checkpoints.resumable(follow, make_network, into, checkpoint):
        into.add(step.t, measure(step))
        for t, numbers in enumerate(getattr(step, "history", ()), 1):
            into.add(t, numbers)

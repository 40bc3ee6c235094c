"""Fuzz trimming: odd types, ties, infinities, groups, weights, tiny n; NumPy and torch must agree on every mask.

    python tests/fuzz_trimming.py                    two minutes
    python tests/fuzz_trimming.py --seconds 3600     longer
    python tests/fuzz_trimming.py --seed 17          one problem again

A problem is a seed. Each is checked against what must hold: n_kept is the floor of a decimal; trim keeps that many of
the smallest losses, ties by index, in groups by largest remainder; torch selects what NumPy selects; whole weights
equal repetition; iterate is the plain loop, whatever the functions it calls do to their arrays.
"""

import sys
from decimal import Decimal, localcontext
from math import floor

import fuzzing
import numpy as np
import torch

from itlm import iterate, n_kept, trim
from itlm.weighted import total_weight, trim_mass

TYPES = ("float16", "float32", "float64", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
BY_TORCH = {name: getattr(torch, name) for name in TYPES if not name.startswith("uint") or name == "uint8"}
NAMES = np.array(["ant", "bee", "cat", "dog", "eel"])  # in the order of their numbers


def problem(seed: int):
    """Draw losses, alpha, group numbers or None, and weights."""
    random = np.random.default_rng(seed)
    n = int(random.choice([1, 2, 3, random.integers(4, 40), random.integers(40, 400)]))
    kind = random.choice(TYPES)
    if random.random() < 0.5:  # few values: many ties
        losses = random.integers(0, random.integers(1, 6), n).astype(kind)
    elif kind.startswith("float"):
        losses = (random.standard_normal(n) * 10.0 ** random.integers(-3, 4)).astype(kind)
    else:
        losses = random.integers(np.iinfo(kind).min, np.iinfo(kind).max, n, dtype=kind, endpoint=True)
    if kind.startswith("float") and random.random() < 0.4:
        for value in (np.inf, -np.inf, -0.0):
            losses[random.random(n) < random.choice([0, 0.05, 0.3])] = value
    if random.random() < 0.3:  # as views of other memory
        losses = np.repeat(losses, 2)[::2] if random.random() < 0.5 else losses[::-1].copy()[::-1]
    alpha = random.choice([1.0, 0.5, random.random(), round(random.random(), 2), random.integers(1, n + 1) / n])
    groups = random.integers(0, random.integers(1, 6), n) if random.random() < 0.6 else None
    weights = random.integers(0, 4, n).astype(float) if random.random() < 0.5 else random.random(n)
    return losses, float(alpha) or 1.0, groups, weights


def largest_remainder(sizes, k):
    """Divide k places by largest remainder; every group gets one if the places suffice."""
    shares = [k * size // sum(sizes) for size in sizes]
    for g in sorted(range(len(sizes)), key=lambda g: (-(k * sizes[g] % sum(sizes)), g))[: k - sum(shares)]:
        shares[g] += 1
    return shares


def reference(losses, k, groups):
    """Return the mask by a stable sort; None if it has to keep an infinite loss or give tiny groups their one place."""
    kept = np.zeros(len(losses), bool)
    labels = np.zeros(len(losses), int) if groups is None else groups
    numbers, sizes = np.unique(labels, return_counts=True)
    for number, share in zip(numbers, largest_remainder(sizes.tolist(), k), strict=True):
        members = np.flatnonzero(labels == number)
        kept[members[np.argsort(losses[members], kind="stable")[:share]]] = True
        if not share and k >= len(numbers):
            return None
    return None if (losses[kept] == np.inf).any() else kept


def outcome(call):
    """Return what a call gives, or its error in words."""
    try:
        return call()
    except ValueError as error:
        return str(error)


def same(a, b) -> bool:
    """Return whether two outcomes are the same mask, or the same error."""
    if isinstance(a, str) or isinstance(b, str):
        return isinstance(a, str) and isinstance(b, str) and a == b
    return bool((np.asarray(a) == np.asarray(b)).all())


def faults_of_counts(random, alpha):
    """Say what is wrong with n_kept."""
    n = int(random.integers(1, 10 ** random.integers(1, 18), endpoint=True))
    short = round(alpha, int(random.integers(1, 11)))
    with localcontext(prec=60):
        k = floor(n * Decimal(str(short)))
    if k and n_kept(n, short) != k:
        yield f"n_kept({n}, {short}) is {n_kept(n, short)}, not {k}"
    n = min(n, 10**12)
    k = max(1, floor(alpha * n))
    if n_kept(n, k / n) != k:
        yield f"n_kept({n}, {k}/{n}) is {n_kept(n, k / n)}, not {k}"


def faults_of_masks(losses, alpha, groups, found):
    """Say what is wrong with the masks of trim."""
    k, expected = n_kept(len(losses), alpha), reference(losses, n_kept(len(losses), alpha), groups)
    if expected is not None and not same(found, expected):
        yield f"not the smallest, or ties not by index: {found}"
    if isinstance(found, str):
        if "infinite" not in found or not (losses == np.inf).any():
            yield found
    else:
        if found.sum() != k:
            yield f"keeps {found.sum()} of {len(losses)}, not {k}"
        labels = np.zeros(len(losses), int) if groups is None else groups
        for number in np.unique(labels):
            inside = labels == number
            share, quota = int(found[inside].sum()), k * inside.sum() / len(losses)
            if not (abs(share - quota) < 1 or share == 1 or len(np.unique(labels)) > 2):
                yield f"group {number} keeps {share} of a quota of {quota:.3g}"
            order = np.argsort(losses[inside], kind="stable")
            if found[inside][order[:share]].sum() != share:
                yield f"group {number} does not keep its smallest"
    by_text = outcome(lambda: trim(losses, alpha, groups=None if groups is None else NAMES[groups]))
    if not same(found, by_text) and not isinstance(found, str):
        yield f"groups named by text keep {by_text}"
    kind = BY_TORCH.get(losses.dtype.name)
    if kind is not None:
        tensor = torch.from_numpy(losses.copy())
        for labels in (groups, None if groups is None else torch.from_numpy(groups)):
            if not same(found, ours := outcome(lambda labels=labels: trim(tensor, alpha, groups=labels))):
                yield f"NumPy: {found}, torch: {ours}"
        if losses.dtype == np.float32:
            half = tensor.bfloat16()
            if not same(*(outcome(lambda x=x: trim(x, alpha, groups=groups)) for x in (half, half.float().numpy()))):
                yield "bfloat16 is trimmed otherwise than its values"


def faults_of_weights(losses, alpha, groups, weights):
    """Say what is wrong with trim_mass."""
    if not weights.any():
        return
    mass = outcome(lambda: trim_mass(losses, weights, alpha, groups=groups))
    if isinstance(total := total_weight(weights), int):
        times = weights.astype(int)
        of = np.repeat(np.arange(len(losses)), times)
        other = outcome(lambda: trim(losses[of], alpha, groups=None if groups is None else groups[of]))
        if isinstance(mass, str) != isinstance(other, str):
            yield f"weights: {mass}, repetition: {other}"
        elif not isinstance(mass, str) and (mass != np.bincount(of, other, len(losses))).any():
            yield f"weights {weights} keep {mass}, not {np.bincount(of, other, len(losses))}"
    elif isinstance(mass, str):
        if "infinite" not in mass:
            yield mass
    elif not np.isclose(mass.sum(), alpha * total) or (mass < 0).any() or (mass > weights).any():
        yield f"keeps {mass.sum()} of {total}, in {mass}"
    elif groups is None and ((mass > 0) & (mass < weights)).sum() > 1:
        yield "more than one sample is kept in part"


def faults_of_rounds(losses, alpha, groups):
    """Say what is wrong with iterate, if the losses and the masks are overwritten by the caller's functions."""
    values = np.where(np.isfinite(losses), losses, 0).astype(np.float32)
    for make in (np.array, torch.tensor):
        buffer = make(values)

        def given(theta, make=make, buffer=buffer):
            buffer[:] = make(np.roll(values, theta))
            return buffer

        def update(theta, kept, t):
            kept[:] = True
            return theta + 1

        steps, before = list(iterate(given, update, 0, alpha, 4, groups=groups)), np.ones(len(values), bool)
        for t, step in enumerate(steps):
            kept = trim(np.roll(values, t), alpha, groups=groups)
            if not (same(step.losses, np.roll(values, t)) and same(step.kept, kept)):
                yield f"round {t} of {make.__name__} was rewritten"
            if (step.n_entered, step.n_left) != ((kept & ~before).sum(), (before & ~kept).sum()):
                yield f"round {t}: {step.n_entered} entered, {step.n_left} left"
            before = kept


def faults(seed: int) -> list[str]:
    """Say what is wrong with a problem's results."""
    losses, alpha, groups, weights = problem(seed)
    random = np.random.default_rng([seed, 1])
    try:
        found = list(faults_of_counts(random, max(alpha, 1e-3)))
        if floor(alpha * len(losses) + 1e-9):
            mask = outcome(lambda: trim(losses, alpha, groups=groups))
            found += faults_of_masks(losses, alpha, groups, mask)
            found += faults_of_rounds(losses, alpha, groups)
        if floor(alpha * weights.sum() + 1e-9):
            found += faults_of_weights(losses, alpha, groups, weights)
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(fuzzing.main(faults, __doc__.splitlines()[0]))

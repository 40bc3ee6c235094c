"""BatchSGD on the kept samples: plain training bit for bit, and a fit that was killed ends where it would have."""

import io
import random
import sys
from contextlib import nullcontext
from functools import partial, update_wrapper
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from itlm.deep import images, training
from itlm.deep.inputs import to_tensor
from itlm.deep.networks import LeNet, initialised, pick_device
from itlm.deep.training import Schedule, batches, derived_seed, fit, outputs, sample_losses
from itlm.errors import Diverged

pytestmark = pytest.mark.usefixtures("one_thread")

HERE = Path(__file__).parent
N = 200
LITTLE = partial(LeNet, channels=(4, 8, 32))  # LeNet's layers, a hundredth of its work


@pytest.fixture(scope="module")
def digits():
    loaded = images.load("mnist5k")
    return to_tensor(loaded.train_x[:N]), torch.tensor(loaded.train_y[:N].astype(int))


def trained(*arguments, **options):
    """The network of a fit."""
    return fit(*arguments, **options).network


def some(seed=0, n=N):
    """A selection of about 60 %."""
    return torch.rand(n, generator=torch.Generator().manual_seed(seed)) < 0.6


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def made_up(n=N, seed=0):
    """Images that need no file, for a process of its own."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 28, 28, generator=generator), torch.randint(10, (n,), generator=generator)


# Schedule


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "exactly one of epochs and steps, got epochs=None, steps=None"),
        ({"epochs": 1, "steps": 1}, "exactly one of epochs and steps, got epochs=1.0, steps=1"),
        ({"epochs": -1}, r"epochs must be a number in \[0, 1e\+09\] or None, got -1"),
        ({"epochs": float("nan")}, r"epochs must be a number in \[0, 1e\+09\] or None, got nan"),
        ({"epochs": float("inf")}, r"epochs must be a number in \[0, 1e\+09\] or None, got inf"),
        ({"steps": -1}, "steps must be an integer of at least 0 or None, got -1"),
        ({"steps": 2.5}, "steps must be an integer of at least 0 or None, got 2.5"),
        ({"steps": 1, "batch": 0}, "batch must be an integer of at least 1, got 0"),
        ({"steps": 1, "batch": 10.5}, "batch must be an integer of at least 1, got 10.5"),
        ({"steps": 1, "lr": -0.1}, r"lr must be a number in \[0, 1e\+09\], got -0.1"),
        ({"steps": 1, "lr": float("inf")}, r"lr must be a number in \[0, 1e\+09\], got inf"),
        ({"steps": 1, "weight_decay": -1}, r"weight_decay must be a number in \[0, 1e\+09\], got -1"),
        ({"steps": 1, "weight_decay": float("inf")}, r"weight_decay must be a number in \[0, 1e\+09\], got inf"),
        ({"steps": 1, "momentum": 1}, r"momentum must be a number in \[0, 0.999\], got 1"),
        ({"steps": 1, "momentum": -0.1}, r"momentum must be a number in \[0, 0.999\], got -0.1"),
        ({"epochs": 1, "partial": True}, "partial=True needs steps, got epochs=1.0"),
        ({"steps": 1, "augment": True}, "augment must be one of 'none', 'mirror', 'shift', got True"),
        ({"steps": 1, "shape": "cosine"}, "shape must be one of 'constant', 'drop', 'one_cycle', got 'cosine'"),
    ],
)
def test_a_bad_schedule_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**fields)


@pytest.mark.parametrize(
    ("fields", "n", "steps"),
    [
        ({"epochs": 2, "batch": 100}, 3000, 60),
        ({"epochs": 2, "batch": 100}, 3050, 61),
        ({"epochs": 0.29, "batch": 1}, 100, 29),
        ({"epochs": 1, "batch": 128}, 127, 0),
        ({"steps": 7, "batch": 100}, 10**6, 7),
    ],
)
def test_epochs_count_passes_over_all_samples(fields, n, steps):
    assert Schedule(**fields).n_steps(n) == steps


@pytest.mark.parametrize(
    ("shape", "rates"),
    [
        ("constant", [0.5] * 10),
        ("drop", [0.5] * 6 + [0.1] * 4),
        ("one_cycle", [0, 0.25, 0.5, 0.4375, 0.375, 0.3125, 0.25, 0.1875, 0.125, 0.0625]),
    ],
)
def test_the_learning_rate_has_its_shape(shape, rates):
    schedule = Schedule(steps=10, lr=0.5, shape=shape)
    assert np.allclose([schedule.lr_at(step, 10) for step in range(10)], rates)


# batches


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 30), st.integers(0, 9), st.booleans(), st.booleans())
def test_a_pass_is_a_permutation_of_the_kept_cut_into_batches(n, batch, steps, seed, everything, partial):
    kept = None if everything else some(seed, n)
    pool = set(range(n) if everything else kept.nonzero().squeeze(1).tolist())
    schedule = Schedule(steps=steps, batch=batch, partial=partial)
    draw = lambda: batches(n, schedule, torch.Generator().manual_seed(seed), kept)  # noqa: E731
    if len(pool) < schedule.least:
        least = 1 if partial else batch
        with pytest.raises(ValueError, match=f"kept has {len(pool)} samples, fewer than a batch of {least}: lower"):
            next(draw())
        return
    drawn = [indices.tolist() for indices in draw()]
    assert len(drawn) == steps and sum(map(len, drawn)) == schedule.visits(n, len(pool))
    every = len(pool) // batch + (partial and len(pool) % batch > 0)
    for start in range(0, steps, every):
        seen = [i for indices in drawn[start : start + every] for i in indices]
        assert len(seen) == len(set(seen)) and set(seen) <= pool
        sizes = [len(indices) for indices in drawn[start : start + every]]
        assert all(size == batch for size in sizes[: len(pool) // batch])
        assert start + every > steps or not partial or set(seen) == pool  # nothing is left out of a whole pass
    assert drawn == [indices.tolist() for indices in draw()]


def test_every_pass_is_a_fresh_permutation_and_what_is_left_out_changes():
    drawn = list(batches(13, Schedule(steps=40, batch=5), torch.Generator().manual_seed(0)))
    passes = [torch.cat(drawn[i : i + 2]).tolist() for i in range(0, 40, 2)]
    assert len(set(map(tuple, passes))) == 20
    assert set().union(*passes) == set(range(13))


# fit: alpha = 1 is ordinary training


def plain_sgd(make, x, y, schedule, seed, kept=None):
    """The same training, written out: the permutations, the gradient, the step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make()
    network, x = network.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    weights = list(network.parameters())
    velocity = [None] * len(weights)
    pool = torch.arange(len(x)) if kept is None else torch.tensor([i for i, keep in enumerate(kept) if keep])
    generator = torch.Generator().manual_seed(seed)
    steps, queue = int(schedule.epochs * len(x) / schedule.batch), []
    for step in range(steps):
        if len(queue) < schedule.batch:
            queue = pool[torch.randperm(len(pool), generator=generator)].tolist()
        batch, queue = queue[: schedule.batch], queue[schedule.batch :]
        lr = schedule.lr_at(step, steps)
        gradients = torch.autograd.grad(cross_entropy(network(x[batch]), y[batch]), weights)
        with torch.no_grad():
            for i, (w, g) in enumerate(zip(weights, gradients, strict=True)):
                if schedule.weight_decay:
                    g = g.add(w, alpha=schedule.weight_decay)
                if schedule.momentum:
                    velocity[i] = g.clone() if velocity[i] is None else velocity[i].mul_(schedule.momentum).add_(g)
                    g = g.add(velocity[i], alpha=schedule.momentum)  # Nesterov's form
                w.add_(g, alpha=-lr)
    return network


@pytest.mark.parametrize(
    ("make", "schedule"),
    [
        (LeNet, Schedule(epochs=1, batch=50, lr=0.1)),
        (LITTLE, Schedule(epochs=3, batch=30, lr=0.1)),  # 200 samples: a pass leaves 20 out
        (LITTLE, Schedule(epochs=2, batch=20, lr=0.05, momentum=0.9, weight_decay=5e-4, shape="one_cycle")),
    ],
)
def test_keeping_all_is_ordinary_training_bit_for_bit(digits, make, schedule):
    network = trained(make, *digits, None, schedule, seed=3)
    assert same(network, plain_sgd(make, *digits, schedule, 3))
    assert same(network, trained(make, *digits, torch.ones(N, dtype=torch.bool), schedule, seed=3))
    assert same(network, trained(make, *digits, np.ones(N, bool), schedule, seed=3))


def test_keeping_some_is_ordinary_training_on_those_for_as_many_steps(digits):
    schedule, kept = Schedule(epochs=3, batch=20, lr=0.1), some()
    network = trained(LITTLE, *digits, kept, schedule, seed=3)
    assert same(network, plain_sgd(LITTLE, *digits, schedule, 3, kept))
    x, y = digits
    assert same(network, trained(LITTLE, x[kept], y[kept], None, Schedule(steps=30, batch=20, lr=0.1), seed=3))


def test_what_is_not_kept_has_no_influence(digits):
    x, y = (part.clone() for part in digits)
    kept, schedule = some(), Schedule(epochs=1, batch=20)
    before = trained(LITTLE, x, y, kept, schedule, seed=0)
    x[~kept], y[~kept] = torch.nan, 0
    assert same(before, trained(LITTLE, x, y, kept, schedule, seed=0))


# fit: the seed, and nothing else


def test_the_seed_decides_the_weights_and_no_global_generator_is_touched(digits):
    schedule = Schedule(epochs=1, batch=20, augment="shift")
    states = lambda: (torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate())  # noqa: E731
    before = states()
    first = trained(LITTLE, *digits, None, schedule, seed=1)
    sample_losses(first, *digits)
    assert states() == before
    torch.manual_seed(99)
    assert same(first, trained(LITTLE, *digits, None, schedule, seed=1))
    assert not same(first, trained(LITTLE, *digits, None, schedule, seed=2))


def test_a_fit_leaves_its_data_alone_and_ends_in_eval_mode(digits):
    x, y = (part.clone() for part in digits)
    network = trained(LITTLE, *digits, some(), Schedule(epochs=1, batch=20, augment="shift"), seed=0)
    assert not network.training
    assert torch.equal(x, digits[0]) and torch.equal(y, digits[1]) and digits[0].is_contiguous()


def test_watching_shows_the_network_after_each_pass_and_changes_nothing(digits):
    make, schedule, seen = Moody, Schedule(epochs=3, batch=30), []

    def watch(network, step):
        seen.append((step, any(module.training for module in network.modules())))

    before = torch.get_rng_state()
    watched = trained(make, *digits, None, schedule, seed=0, watch=watch)
    assert seen == [(6, False), (12, False), (18, False), (20, False)]
    torch.set_rng_state(before)  # of Moody's dropout
    assert same(watched, trained(make, *digits, None, schedule, seed=0))


def test_what_watching_finds_is_returned_epoch_by_epoch(digits):
    def watch(network, step):
        return {"step": step, "loss": sample_losses(network, *digits).mean().item()}

    schedule = Schedule(epochs=3, batch=30)
    network, history = fit(LITTLE, *digits, None, schedule, seed=0, watch=watch)
    assert [seen["step"] for seen in history] == [6, 12, 18, 20]
    losses = [seen["loss"] for seen in history]
    assert len(set(losses)) == 4 and losses[-1] == sample_losses(network, *digits).mean().item()
    assert fit(LITTLE, *digits, None, schedule, seed=0).history == []


def test_no_steps_give_the_initial_weights(digits):
    network = trained(LITTLE, *digits, None, Schedule(steps=0, batch=20), seed=4)
    assert same(network, initialised(LITTLE, 4))


def test_it_learns(digits):
    network = trained(LeNet, *digits, None, Schedule(epochs=5, batch=10), seed=0)
    with torch.no_grad():
        assert (network(digits[0]).argmax(1) == digits[1]).double().mean() > 0.9


def test_a_progress_bar_that_is_switched_off_stops_no_fit(digits, monkeypatch):
    bar = training.tqdm
    monkeypatch.setattr(training, "tqdm", lambda **settings: bar(**settings, disable=True))
    trained(LITTLE, *digits, None, Schedule(epochs=1, batch=20), seed=0)


def test_a_short_fit_prints_nothing(digits, capfd):
    trained(LITTLE, *digits, None, Schedule(epochs=1, batch=20), seed=0)
    assert capfd.readouterr() == ("", "")


def test_a_long_fit_shows_its_steps_on_the_stderr_of_its_time_and_leaves_none(digits, monkeypatch):
    at_once = lambda **options: bar(**options | {"delay": 0, "mininterval": 0})  # noqa: E731
    bar = training.tqdm
    monkeypatch.setattr(training, "tqdm", at_once)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    trained(LITTLE, *digits, None, Schedule(epochs=3, batch=20), seed=0, note="itlm 4")
    shown = sys.stderr.getvalue()
    assert "itlm 4: 100%" in shown and "30/30" in shown
    assert shown.split("\r")[-1] == "" and shown.split("\r")[-2].isspace()


# fit: faults


class Counted:
    """Cross-entropy, by name too, that does something at one of its calls."""

    def __init__(self, at, act):
        update_wrapper(self, cross_entropy)
        self.calls, self.at, self.act = 0, at, act

    def __call__(self, output, y, reduction="mean"):
        self.calls += 1
        value = cross_entropy(output, y, reduction=reduction)
        return self.act(value) if self.calls == self.at else value


@pytest.mark.parametrize(
    ("steps", "at", "message"),
    [
        (30, 13, r"loss is nan in epoch 2 over the kept samples \(step 20 of 30\); lower lr=0.1, or look for broken"),
        (30, 30, r"in epoch 3 over the kept samples \(step 30 of 30\)"),
        (15, 12, r"in epoch 2 over the kept samples \(step 15 of 15\)"),
        (4, 2, r"in epoch 1 over the kept samples \(step 4 of 4\)"),
    ],
)
def test_a_loss_that_is_no_number_is_located(digits, steps, at, message):
    broken = Counted(at, lambda value: value * torch.nan)
    with pytest.raises(Diverged, match=message):
        trained(LITTLE, *digits, None, Schedule(steps=steps, batch=20), seed=0, loss=broken)


def test_too_large_a_step_size_and_a_broken_sample_diverge(digits):
    x, y = digits
    wild = Schedule(epochs=5, batch=20, lr=1e6)
    with pytest.raises(Diverged, match=r"the training loss is (nan|inf) .*lower lr=1000000.0"):
        trained(partial(LITTLE, bounded=False, activation="relu"), x, y, None, wild, seed=0)
    x = x.clone()
    x[17, 0, 14, 14] = torch.nan
    with pytest.raises(Diverged, match="in epoch 1 over"):
        trained(LITTLE, x, y, None, Schedule(epochs=1, batch=20), seed=0)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (10, r"y has labels 0\.\.10, but the network has 10 outputs \(0\.\.9\)"),
        (-1, r"y has labels -1\.\.9, but"),
    ],
)
def test_labels_outside_the_networks_classes_are_named(digits, label, message):
    x, y = digits[0], digits[1].clone()
    y[5] = label
    with pytest.raises(ValueError, match=message):
        trained(LITTLE, x, y, None, Schedule(epochs=1, batch=20), seed=0)


def test_fewer_kept_samples_than_a_batch_are_named(digits):
    kept = torch.arange(N) < 19
    with pytest.raises(ValueError, match="kept has 19 samples, fewer than a batch of 20: lower batch or raise the fr"):
        trained(LITTLE, *digits, kept, Schedule(epochs=1, batch=20), seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(N, 784)}, r"x must have shape \(n, channels, height, width\), got \(200, 784\)"),
        (
            {"y": torch.zeros(N - 1).long()},
            r"y must have one label for each of the 200 samples in x, got shape \(199,\)",
        ),
        (
            {"schedule": Schedule(epochs=0.5, batch=101)},
            "epochs=0.5 over n=200 samples do not fill a batch of 101: raise epochs or n, or lower batch",
        ),
        ({"schedule": Schedule(steps=1, batch=20, shape="one_cycle")}, "shape='one_cycle' .* has a single step"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_data_of_another_shape_and_epochs_without_a_step_are_named(digits, change, message):
    given = {"x": digits[0], "y": digits[1], "schedule": Schedule(epochs=1, batch=20)} | change
    with pytest.raises(ValueError, match=message):
        trained(LITTLE, kept=None, seed=0, **given)


@pytest.mark.parametrize("kept", [torch.arange(50), torch.ones(N), torch.ones(N - 1).bool(), torch.ones(N, 1).bool()])
def test_a_selection_that_is_no_mask_of_the_samples_is_named(digits, kept):
    with pytest.raises(ValueError, match=r"kept must be .*bool.*shape \(200,\), got"):
        trained(LITTLE, *digits, kept, Schedule(epochs=1, batch=20), seed=0)


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.int64])
@pytest.mark.parametrize("tensors", [True, False])
def test_labels_of_any_integer_type_and_arrays_are_fitted_like_tensors(digits, kind, tensors):
    x, y = digits[0], digits[1].numpy().astype(kind)
    x, y = (x, torch.tensor(y)) if tensors else (x.numpy(), y)
    schedule, kept = Schedule(steps=3, batch=20), some()
    expected = trained(LITTLE, *digits, kept, schedule, seed=0)
    kept = kept if tensors else kept.numpy()
    if not tensors:
        kept.setflags(write=False)
    network = trained(LITTLE, x, y, kept, schedule, seed=0)
    assert same(network, expected)
    assert torch.equal(sample_losses(network, x, y), sample_losses(network, *digits))
    assert torch.equal(outputs(network, x), outputs(network, digits[0]))
    assert tensors or same(trained(LITTLE, x.astype(">f8"), y, kept, schedule, seed=0), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(N, 1, 28, 28, dtype=torch.uint8)}, "x must be float, got torch.uint8: scale it first"),
        ({"x": np.zeros((N, 1, 28, 28), "U1")}, "x must be a tensor or an array of numbers, got dtype <U1"),
        ({"x": np.ma.masked_less(np.zeros((N, 1, 28, 28)), 1)}, "x has .* masked values"),
        ({"y": torch.zeros(N)}, "y must be integer labels, got torch.float32: number the classes 0, 1, 2"),
        ({"y": np.zeros(N)}, "y must be integer labels, got torch.float32"),
        ({"y": np.array(["cat"] * N)}, "y must be a tensor or an array of numbers, got dtype <U3"),
    ],
)
def test_data_of_another_kind_are_named(digits, change, message):
    with pytest.raises(ValueError, match=message):
        trained(LITTLE, **{"x": digits[0], "y": digits[1]} | change, kept=None, schedule=Schedule(steps=1), seed=0)


# half precision and compilation


def apart(a, b):
    """How far two fits are from each other, relative to how far training went."""
    flat = lambda network: torch.cat([p.detach().flatten() for p in network.parameters()])  # noqa: E731
    start = flat(trained(LITTLE, *made_up(), None, Schedule(steps=0, batch=20), seed=7))
    return float((flat(a) - flat(b)).norm() / (flat(b) - start).norm())


@pytest.mark.parametrize(("fields", "limit"), [({"half": True}, 0.05), ({"compiled": True}, 1e-4)])
def test_half_precision_and_compiling_change_a_fit_by_rounding_alone(fields, limit, monkeypatch):
    compiled, compiling = [], torch.compile
    monkeypatch.setattr(torch, "compile", lambda m: compiled.append(m) or compiling(m, backend="eager"))
    shape = {"steps": 20, "batch": 20, "lr": 0.05}
    plain, other = (trained(LITTLE, *made_up(), None, Schedule(**shape, **more), seed=7) for more in ({}, fields))
    assert apart(other, plain) < limit and len(compiled) == ("compiled" in fields)
    assert "half" not in fields or not same(plain, other)
    assert next(other.parameters()).dtype == torch.float32
    assert isinstance(other, LeNet)  # not what torch.compile wraps it in: checkpoints fit with and without


# augmentation


def test_augmentation_changes_what_is_learnt_and_nothing_that_is_scored(digits):
    plain, augmented = (
        trained(LITTLE, *digits, None, Schedule(steps=5, batch=20, augment=a), seed=0) for a in ("none", "mirror")
    )
    assert not same(plain, augmented)
    assert torch.equal(sample_losses(augmented, *digits), sample_losses(augmented, *digits))


# sample_losses


class Moody(nn.Module):
    """A network whose output depends on its mode."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.rest = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(784, 10))

    def forward(self, x):
        return self.rest(self.norm(x))


@pytest.mark.parametrize("batch", [1, 7, N, 500])
@pytest.mark.parametrize("make", [LITTLE, Moody])
def test_the_losses_are_those_of_each_sample_alone_in_eval_mode(digits, make, batch):
    x, y = digits
    network = initialised(make, 0).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = sample_losses(network, x, y, batch=batch)
    assert found.shape == (N,) and found.dtype == torch.float32 and not found.requires_grad
    assert network.training and all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    network.eval()
    with torch.no_grad():
        alone = torch.stack([cross_entropy(network(x[i : i + 1])[0], y[i]) for i in range(N)])
    assert torch.allclose(found, alone, atol=1e-5)


@pytest.mark.parametrize("training_mode", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_the_networks_mode_is_put_back(digits, training_mode, fails):
    network = Moody().train(training_mode)
    with pytest.raises(IndexError) if fails else nullcontext():
        sample_losses(network, digits[0], digits[1] + 10 * fails)
    assert all(module.training == training_mode for module in network.modules())


def test_a_part_that_was_frozen_stays_frozen(digits):
    network = Moody().train()
    network.norm.eval()
    sample_losses(network, *digits)
    assert network.training and network.rest.training and not network.norm.training


def test_another_loss_may_be_given(digits):
    network = initialised(LITTLE, 0)
    squared = lambda output, y, reduction: ((output - y[:, None]) ** 2).sum(1)  # noqa: E731
    with torch.no_grad():
        expected = ((network(digits[0]) - digits[1][:, None]) ** 2).sum(1)
    assert torch.allclose(sample_losses(network, *digits, loss=squared), expected)


# seeds, devices


def test_the_seeds_of_a_runs_fits_are_all_different_and_stay_what_they_are():
    assert len({derived_seed(seed, t) for seed in range(50) for t in range(50)}) == 2500
    assert [derived_seed(0, 0), derived_seed(0, 1), derived_seed(1, 0)] == [2968811710, 3964924996, 1835504127]


def test_a_device_may_be_named():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")

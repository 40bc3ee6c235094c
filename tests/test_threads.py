"""Small fits use one thread on a CPU; larger ones keep the number, and so does each if the number was chosen."""

import sys
from functools import partialmethod

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info
from torch import nn
from torch.nn.functional import cross_entropy

from itlm.deep import gan, networks, threads, training
from itlm.least_squares import least_trimmed_squares
from itlm.least_squares import threads as blas
from itlm.linear import simulate

X, Y = torch.randn(40, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 10
FEW = training.Schedule(steps=3, batch=20)


@pytest.fixture(params=[2, 3])
def default(request, monkeypatch):
    """Torch's own number of threads is more than one, and nothing was chosen."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    monkeypatch.setattr(threads, "DEFAULT", request.param)
    for name in blas.CHOSEN:
        monkeypatch.delenv(name, raising=False)
    yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


class Counting(networks.LeNet):
    """A LeNet that notes the number of threads in each pass."""

    def __init__(self):
        super().__init__(channels=(2, 3, 4))
        self.seen = []

    def forward(self, x):
        self.seen += [torch.get_num_threads()] if len(x) >= 20 else []  # no pass that only checks
        return super().forward(x)


def passes() -> list:
    """The numbers of threads in a fit, in its watch, and in scoring afterwards."""
    watched = []
    network = training.fit(
        Counting, X, Y, None, FEW, seed=0, device="cpu", watch=lambda *_: watched.append(torch.get_num_threads())
    ).network
    training.sample_losses(network, X, Y)
    training.outputs(network, X)
    return sorted({*network.seen, *watched})


def test_a_small_network_uses_one_thread_and_the_number_is_restored(default):
    assert passes() == [1]


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_number_that_the_environment_sets_is_kept(default, monkeypatch, name):
    monkeypatch.setenv(name, str(default))
    assert passes() == [default]


def test_a_number_that_was_set_in_torch_is_kept(default, monkeypatch):
    monkeypatch.setattr(threads, "DEFAULT", default + 1)
    assert passes() == [default]


def test_a_large_network_keeps_the_number(default, monkeypatch):
    monkeypatch.setattr(threads, "SMALL", 20 * threads.multiply_adds(Counting(), X) - 1)
    assert passes() == [default]


def test_the_number_is_restored_after_a_failure(default):
    with pytest.raises(ZeroDivisionError), threads.few_threads(Counting(), X, 20):
        assert torch.get_num_threads() == 1
        1 / 0  # noqa: B018


def test_a_gan_trains_scores_and_generates_with_one_thread(default, monkeypatch):
    seen = []

    def noting(layer, x, forward):
        seen.extend([(type(layer), torch.get_num_threads())] if len(x) > 1 else [])  # a single sample is measured
        return forward(layer, x)

    for kind in (nn.Conv2d, nn.ConvTranspose2d):
        monkeypatch.setattr(kind, "forward", partialmethod(noting, forward=kind.forward))
    recipe = gan.Recipe(
        size=28, width=4, normalisation="batch", loss="dcgan", statistics="batch", score_at=0.5, epochs=1, batch=20
    )
    theta = gan.fit(recipe, X, None, seed=0)
    gan.sample_losses(theta, X, recipe)
    gan.generated(theta, gan.latents(3))
    assert set(seen) == {(nn.Conv2d, 1), (nn.ConvTranspose2d, 1)}


def test_a_fit_gives_the_same_bits_as_with_one_thread(default):
    mine = training.fit(networks.LeNet, X, Y, None, FEW, seed=0, device="cpu").network.state_dict()
    torch.set_num_threads(1)
    plain = training.fit(networks.LeNet, X, Y, None, FEW, seed=0, device="cpu").network.state_dict()
    torch.set_num_threads(default)
    assert all(torch.equal(mine[name], plain[name]) for name in plain)


@pytest.mark.parametrize(
    ("network", "x", "expected"),
    [
        (nn.Linear(3, 5), torch.zeros(7, 3), 15),
        (nn.Linear(3, 5), torch.zeros(7, 2, 3), 30),
        (nn.Conv2d(4, 6, 3, padding=1, groups=2), torch.zeros(2, 4, 8, 8), 64 * 6 * 2 * 9),
        (nn.Conv2d(4, 6, 3, stride=2), torch.zeros(2, 4, 9, 9), 16 * 6 * 4 * 9),
        (nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), torch.zeros(2, 4, 8, 8), 64 * 4 * 6 * 16),
        (nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(), nn.BatchNorm1d(3, affine=False)), torch.zeros(9, 3), 0),
    ],
)
def test_multiply_adds_are_counted_per_sample_and_the_network_stays_as_it_was(network, x, expected):
    before, state = torch.get_rng_state(), [value.clone() for value in network.state_dict().values()]
    assert threads.multiply_adds(network, x) == threads.multiply_adds(network, x[:1]) == expected
    assert torch.equal(before, torch.get_rng_state()) and network.training
    assert all(map(torch.equal, state, network.state_dict().values()))
    assert not any(layer._forward_hooks for layer in network.modules())


def test_of_the_networks_here_those_of_the_papers_cifar_runs_are_large():
    digits, colours = torch.zeros(1, 1, 28, 28), torch.zeros(1, 3, 32, 32)
    cost = threads.multiply_adds
    assert 50 * cost(networks.LeNet(), digits) < threads.SMALL
    assert 64 * cost(networks.GAN(28, 1, 32, "none").discriminator, digits) < threads.SMALL
    assert 100 * cost(networks.SmallNet(width=32), colours) < threads.SMALL
    assert 256 * cost(networks.WideResNet(), colours) > threads.SMALL


def test_scores_of_a_network_in_parts_of_other_modes_stay_the_same(default):
    network = nn.Sequential(nn.Conv2d(1, 2, 5), nn.Flatten(), nn.Dropout(), nn.Linear(2 * 24 * 24, 10))
    before = torch.get_rng_state()
    found = training.sample_losses(network, X, Y)
    assert torch.equal(before, torch.get_rng_state()) and network.training
    torch.set_num_threads(1)
    assert torch.equal(found, cross_entropy(network.eval()(X), Y, reduction="none").detach())
    torch.set_num_threads(default)


# least squares


def blas_threads() -> set:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def seen_by_a_fit(monkeypatch, n=200) -> set:
    """The numbers of BLAS threads while the starts compete."""
    from itlm.least_squares import solver

    seen, compete = [], solver.compete
    monkeypatch.setattr(solver, "compete", lambda *a: seen.append(blas_threads()) or compete(*a))
    data, before = simulate(n, 3, 0.7, 0.1), blas_threads()
    least_trimmed_squares(data.X, data.y, 0.65)
    assert blas_threads() == before
    return seen[0]


def test_a_small_least_squares_fit_uses_one_thread_and_the_number_is_restored(default, monkeypatch):
    assert seen_by_a_fit(monkeypatch) == {1}


def test_a_large_fit_or_a_chosen_number_or_no_threadpoolctl_changes_nothing(default, monkeypatch):
    from threadpoolctl import threadpool_limits

    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        for change in (
            lambda patch: patch.setattr(blas, "SMALL", 599),
            lambda patch: patch.setenv("OPENBLAS_NUM_THREADS", "2"),
            lambda patch: patch.setitem(sys.modules, "threadpoolctl", None),
        ):
            with monkeypatch.context() as patch:
                blas._libraries.cache_clear()
                change(patch)
                assert seen_by_a_fit(patch) == before
    blas._libraries.cache_clear()


def test_a_fit_on_one_thread_has_the_same_bits(default):
    data = simulate(500, 4, 0.7, 0.1)
    from threadpoolctl import threadpool_limits

    found = least_trimmed_squares(data.X, data.y, 0.65)
    with threadpool_limits(1):
        assert np.array_equal(found.coef, least_trimmed_squares(data.X, data.y, 0.65).coef)

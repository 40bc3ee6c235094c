"""Other authors' methods: their losses in closed form, what each trusts, and that none is crippled."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from itlm.deep import training
from itlm.errors import Missing
from itlm.experiments import labels
from itlm.experiments.labels import Config, measure, rounds, task
from itlm.rivals import labels as rivals
from itlm.rivals.labels import CoTeaching, GeneralizedCrossEntropy, Pair, SelfPaced

pytestmark = pytest.mark.usefixtures("one_thread")


def logits(n=50, seed=0):
    return torch.randn(n, 10, generator=torch.Generator().manual_seed(seed)), torch.arange(n) % 10


def config(**changes):
    fields = {"noise": "random", "clean": 0.7, "n": 400, "epochs": 8, "batch": 20, "momentum": 0.9, "lr": 0.05}
    return Config(**fields | changes)


@pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
def test_generalized_cross_entropy_is_its_formula(q):
    out, y = logits()
    p = out.softmax(1)[range(50), y]
    found = GeneralizedCrossEntropy(q)(out, y, reduction="none")
    assert torch.allclose(found, (1 - p**q) / q, atol=1e-6)
    assert GeneralizedCrossEntropy(q)(out, y) == pytest.approx(found.mean().item())


def test_generalized_cross_entropy_is_computed_in_full_precision_under_autocast():
    out, y = logits()
    half = out.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(GeneralizedCrossEntropy()(half, y), GeneralizedCrossEntropy()(half.float(), y))


def test_generalized_cross_entropy_ends_at_the_two_losses_it_lies_between():
    out, y = logits()
    almost = GeneralizedCrossEntropy(1e-4)(out, y)
    assert almost == pytest.approx(nn.functional.cross_entropy(out, y).item(), rel=1e-3)
    with pytest.raises(ValueError, match=r"q must be a number in \(0, 1\], got 0"):
        GeneralizedCrossEntropy(0)


def test_the_first_step_of_generalized_cross_entropy_is_as_long_as_that_of_cross_entropy():
    """Where every class has the same probability; so it nearly has at a network's start."""
    out, y = torch.zeros(20, 10, requires_grad=True), torch.arange(20) % 10
    loss = GeneralizedCrossEntropy()
    (ours,), (plain,) = (torch.autograd.grad(f(out, y), out) for f in (loss, nn.functional.cross_entropy))
    assert torch.allclose(ours * 10**loss.q, plain, atol=1e-7)
    x, make = torch.randn(20, 1, 2, 2), lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 10))
    with pytest.MonkeyPatch.context() as patch:
        rates, fit = [], training.fit
        patch.setattr(training, "fit", lambda *a, **k: rates.append(a[4].lr) or fit(*a, **k))
        rivals.generalized(make, x, y, 1.0, training.Schedule(steps=1, batch=10, lr=0.1), 0)
    assert rates == [pytest.approx(0.1 * 10**0.7)]


def test_self_paced_learning_counts_everything_at_first_and_the_easy_half_later():
    out, y = logits()
    each = nn.functional.cross_entropy(out, y, reduction="none")
    loss = SelfPaced(0.5, steps=10)
    assert [loss(out, y).item() for _ in range(2)] == [pytest.approx(each.mean().item())] * 2
    assert loss(out, y).item() == pytest.approx(each[each <= each.quantile(0.5)].mean().item())
    before = loss.threshold
    loss(100 * out, y)
    harder = float(nn.functional.cross_entropy(100 * out, y, reduction="none").quantile(0.5))
    assert loss.threshold == pytest.approx(0.9 * before + 0.1 * harder)


def test_in_co_teaching_each_network_learns_what_the_other_finds_easy():
    (a, y), (b, _) = logits(), logits(seed=1)
    out = torch.stack([a, b], 1).requires_grad_()
    loss = CoTeaching(0.6, steps=5)
    loss(out, y)  # one step: the burn-in is over
    loss(out, y).backward()
    first, second = (nn.functional.cross_entropy(o, y, reduction="none") for o in (a, b))
    easy = [set(losses.topk(30, largest=False).indices.tolist()) for losses in (first, second)]
    learnt = [set(out.grad[:, side].abs().sum(1).nonzero().squeeze(1).tolist()) for side in (0, 1)]
    assert learnt == [easy[1], easy[0]]
    assert torch.equal(loss(out, y, reduction="none"), first)


def test_at_the_beginning_co_teaching_counts_everything():
    (a, y), (b, _) = logits(), logits(seed=1)
    whole = sum(nn.functional.cross_entropy(o, y).item() for o in (a, b))
    assert CoTeaching(0.5, steps=10**6)(torch.stack([a, b], 1), y).item() == pytest.approx(whole, rel=1e-4)


def test_a_pair_is_two_networks_with_weights_of_their_own():
    pair = Pair(nn.Linear(3, 2), nn.Linear(3, 2))
    x = torch.randn(4, 3)
    assert torch.equal(pair(x)[:, 0], pair.first(x)) and torch.equal(pair(x)[:, 1], pair.second(x))
    assert not torch.equal(pair.first.weight, pair.second.weight)


@pytest.mark.parametrize("method", rivals.METHODS)
def test_no_method_is_crippled_where_labels_are_right_and_each_trusts_more_right_ones(method):
    if method == "confident":
        pytest.importorskip("cleanlab")
    lr = 0.01 if method == "gce" else 0.05  # five times as much is too much with momentum
    right, wrong = config(method=method, clean=1.0, lr=lr), config(method=method, lr=lr)
    given = task(right)
    (oracle,), (only,) = rounds(config(method="oracle", clean=1.0), given), rounds(right, given)
    reached = [measure(step, given, c)["test_accuracy"] for step, c in ((oracle, right), (only, right))]
    assert reached[1] > reached[0] - 6  # of few steps on few digits; the recorded runs are held to 2 points
    noisy = task(wrong)
    (only,) = rounds(wrong, noisy)
    found = measure(only, noisy, wrong)
    assert found["precision"] > (69 if method == "gce" else 80) and found["test_accuracy"] > 70
    assert found["visits"] == labels.visits(wrong)


@pytest.mark.parametrize("method", ["gce", "self_paced", "co_teaching"])
def test_the_truth_never_reaches_the_method(method):
    given = task(config(method=method, epochs=1))
    (ours,), (blind,) = (rounds(config(method=method, epochs=1), g) for g in (given, given._replace(is_bad=None)))
    assert torch.equal(ours.kept, blind.kept) and torch.equal(ours.losses, blind.losses)


def test_what_a_method_costs_is_counted():
    costs = {m: labels.visits(config(method=m)) / labels.visits(config(method="oracle")) for m in rivals.METHODS}
    assert costs == {"gce": 1, "self_paced": 1, "co_teaching": 2, "confident": 6}


def test_confident_learning_without_its_package_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(Missing, match="cleanlab is not installed: pip install cleanlab"):
        rivals.confident(None, None, np.zeros(3), 0.5, training.Schedule(epochs=1), 0)

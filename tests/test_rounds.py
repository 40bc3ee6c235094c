"""The engine of the experiments with networks: explicit settings, any data with x and y, a history, a record."""

import copy
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from test_training import LITTLE, N, made_up, same, some

from itlm import Round, trim
from itlm.deep import training
from itlm.deep.training import Schedule, derived_seed
from itlm.experiments import rounds as engine
from itlm.experiments.rounds import Settings, SingleRound
from itlm.records.record import Record
from itlm.rivals.labels import self_paced

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:round . keeps no sample of class"),
]


def given():
    x, y = made_up()
    return SimpleNamespace(x=x, y=y)


def settings(**changes):
    def schedule(t, n_seen):
        return Schedule(steps=n_seen // 20 + t, batch=20, lr=0.05)

    return Settings(**{"make_network": LITTLE, "schedule": schedule, "seed": 3, "note": "engine"} | changes)


def trained(kept, t, n_seen, make=LITTLE, **options):
    schedule = Schedule(steps=n_seen // 20 + t, batch=20, lr=0.05)
    return training.fit(make, *made_up(), kept, schedule, seed=derived_seed(3, t), **options)


def test_the_number_of_a_fit_decides_its_seed_and_what_it_sees_its_schedule():
    data, kept = given(), some()
    for t, mask, n_seen in ((0, None, N), (1, kept, int(kept.sum()))):
        assert same(engine.fit(settings(), data, mask, t).network, trained(mask, t, n_seen).network)
    assert engine.fit(settings(), data, None, 0).history == []


def test_rounds_are_fits_to_what_the_network_before_finds_easy():
    steps = list(engine.itlm(settings(), given(), 0.6, 2))
    assert [step.t for step in steps] == [0, 1, 2] and not any(isinstance(step, SingleRound) for step in steps)
    expected = [trained(None, 0, N), *(trained(step.kept, step.t + 1, 120) for step in steps[:2])]
    for step, fitted in zip(steps, expected, strict=True):
        assert same(step.theta, fitted.network)
        assert torch.equal(step.kept, trim(training.sample_losses(fitted.network, *made_up()), 0.6))
    (resumed, last) = engine.itlm(settings(), given(), 0.6, 2, start=1, theta=steps[1].theta)
    assert same(last.theta, steps[2].theta) and torch.equal(resumed.kept, steps[1].kept)


def test_a_warm_fit_starts_from_a_copy_of_the_network_before():
    before = trained(None, 0, N).network
    weights = [p.detach().clone() for p in before.parameters()]
    warm = engine.fit(settings(warm=True), given(), some(), 1, before=before).network
    assert same(warm, trained(some(), 1, int(some().sum()), partial(copy.deepcopy, before)).network)
    assert all(torch.equal(p, w) for p, w in zip(before.parameters(), weights, strict=True))
    cold = engine.fit(settings(), given(), some(), 1, before=before).network
    assert same(cold, trained(some(), 1, int(some().sum())).network)


def test_no_fit_sees_what_is_unseen_and_all_is_scored():
    unseen = torch.arange(N) % 10 == 0
    data, s = given(), settings(unseen=unseen)
    assert same(engine.fit(s, data, None, 0).network, trained(~unseen, 0, 180).network)
    kept = some()
    assert same(engine.fit(s, data, kept, 1).network, trained(kept & ~unseen, 1, int((kept & ~unseen).sum())).network)
    (step,) = engine.itlm(s, data, 0.6, 0)
    assert step.losses.shape == (N,) and step.kept.sum() == 120


def test_the_epoch_of_highest_accuracy_gives_the_network():
    data, shown = given(), []
    s = settings(chosen_on=(data.x[:50], data.y[:50]), schedule=lambda t, n: Schedule(steps=60, batch=20, lr=0.3))

    def look(network, step):
        right = training.outputs(network, data.x[:50]).argmax(1) == data.y[:50]
        shown.append((right.double().mean().item(), {k: v.clone() for k, v in network.state_dict().items()}))

    training.fit(LITTLE, data.x, data.y, None, s.schedule(0, N), seed=derived_seed(3, 0), watch=look)
    highest = max(accuracy for accuracy, _ in shown)
    first = next(weights for accuracy, weights in shown if accuracy == highest)
    network, history = engine.fit(s, data, None, 0)
    assert history == [] and all(torch.equal(network.state_dict()[name], value) for name, value in first.items())


def test_a_method_without_rounds_has_a_single_one_with_the_history_of_its_fit():
    kept, data = some(), given()
    step = engine.once(settings(), data, kept, by=("alpha", 0.6), watch=lambda network, at: {"at": float(at)})
    assert isinstance(step, SingleRound) and isinstance(step, Round) and step.t == 0
    assert step.kept is kept and step.alpha == kept.double().mean() and step.n_left == (~kept).sum()
    every = int(kept.sum()) // 20
    assert [seen["at"] for seen in step.history][0] == every and isinstance(step.history, tuple)
    assert torch.equal(step.losses, training.sample_losses(step.theta, data.x, data.y))
    assert step.objective == pytest.approx(step.losses[kept].sum().item())
    assert repr(step).startswith(f"Round 0: {int(kept.sum())} of {N} kept, ")


def test_a_history_is_recorded_as_rounds_from_1_on(tmp_path):
    record, kept = Record("toy", "abc", {}, {}), torch.ones(N, dtype=torch.bool)

    def rounds(*, start=0, theta=None, checkpoint=None):
        watch = lambda network, at: {"steps": float(at)}  # noqa: E731
        yield engine.once(settings(), given(), kept, by=("method", "baseline"), checkpoint=checkpoint, watch=watch)

    measure = lambda step: {"objective": step.objective, "seen": float(len(step.history))}  # noqa: E731
    engine.record(record, rounds, LITTLE, measure, tmp_path / "run.pt")
    (first, second, *rest) = record.rows
    assert first[:2] == [0, "objective"] and second == [0, "seen", 1.0] and rest == [[1, "steps", 10.0]]
    assert list(tmp_path.iterdir()) == []


def test_a_selection_too_small_for_a_batch_is_named_before_any_fit(monkeypatch):
    monkeypatch.setattr(training, "fit", None)
    few = torch.arange(N) < 19
    said = "alpha=0.095 keeps 19 of 200 images, fewer than a batch of 20: raise alpha or n, or lower batch"
    with pytest.raises(ValueError, match=said):
        engine.once(settings(), given(), few, by=("alpha", 0.095))
    with pytest.raises(ValueError, match=said):
        next(engine.itlm(settings(), given(), 0.095, 1))
    with pytest.raises(ValueError, match="method='oracle' keeps 19 of 200 images, .*: raise n, or lower batch"):
        engine.must_fill_a_batch(19, N, 20, "method", "oracle")


def test_augmented_scores_differ_from_plain_ones_and_derive_from_the_round():
    s = settings(augment_scoring="mirror")
    plain, first, again = (list(engine.itlm(one, given(), 1.0, 1)) for one in (settings(), s, s))
    assert same(plain[0].theta, first[0].theta) and not torch.equal(plain[0].losses, first[0].losses)
    assert torch.equal(first[1].losses, again[1].losses)
    (resumed,) = engine.itlm(s, given(), 1.0, 1, start=1, theta=first[1].theta)
    assert torch.equal(resumed.losses, first[1].losses)


def test_the_checkpoints_of_fits_are_files_of_their_own(tmp_path, monkeypatch):
    asked = []
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **k: asked.append(k.get("checkpoint")) or fit(*a, **k))
    list(engine.itlm(settings(), given(), 0.6, 1, checkpoint=tmp_path / "run.fit"))
    assert asked == [f"{tmp_path}/run.fit0", f"{tmp_path}/run.fit1"]
    engine.fit(settings(chosen_on=made_up()), given(), None, 0, checkpoint=tmp_path / "run.fit")
    assert asked[-1] is None  # a checkpoint does not hold the best epoch so far
    assert list(tmp_path.iterdir()) == []


def test_another_authors_method_gets_the_same_network_schedule_and_seed():
    data = given()
    step = engine.rival(settings(), data, "self_paced", 0.6)
    network, kept = self_paced(LITTLE, data.x, data.y, 0.6, settings().schedule(0, N), derived_seed(3, 0))
    assert isinstance(step, SingleRound) and same(step.theta, network) and torch.equal(step.kept, kept)
    assert step.history == ()

"""Backdoors: what is planted and what is tested, and a truth that stays outside."""

import numpy as np
import pytest
import torch
from runs import recorded

from itlm import sweep
from itlm.deep import checkpoints, images, marks, training
from itlm.deep.networks import initialised
from itlm.experiments import attack, backdoor, cifar
from itlm.experiments.backdoor import Config, measure, rounds, run, task
from itlm.experiments.recipe import Recipe
from itlm.experiments.rounds import SingleRound
from itlm.records import tables
from itlm.records.record import save_part
from itlm.rivals import backdoors as rivals

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:round . keeps no sample of class"),
]


def small(**changes):
    """A run that is done at once: digits, of which 5 % are marked."""
    fields = {"n": 300, "epochs": 4.0, "early": 2, "early_epochs": 2.0, "batch": 20, "lr": 0.05, "width": 4}
    return Config(**fields | {"share": 0.05, "alpha": 0.9, "mark": "patch", "class_a": 1} | changes)


@pytest.mark.parametrize("scale", backdoor.SCALES)
def test_nothing_is_left_open_once_resolved(scale):
    config = Config(scale=scale).resolved()
    left = [name for name, value in vars(config).items() if value is None]
    assert left == ["class_a"] and config.resolved() == config  # which means: every class


def test_the_papers_attack_is_five_percent_of_the_target_class():
    config = Config(scale="paper").resolved()
    assert round(config.share * config.n) == 250 and config.alpha == 0.98 and (config.early, config.rounds) == (4, 1)


@pytest.mark.parametrize("class_a", [1, None])
def test_the_two_attacked_sets_are_marked_and_without_the_target_class(class_a):
    given, test = task(small(class_a=class_a)), images.load("mnist5k")
    assert given.is_bad.sum() == 15 and (given.y.numpy()[given.is_bad] == 2).all()
    assert len(given.attack_x) == ((test.test_y != 2) if class_a is None else (test.test_y == 1)).sum()
    assert len(given.other_x) == (test.test_y != 2).sum() and len(given.test_x) == len(test.test_y)
    rows, columns, _ = given.mark
    framed = given.attack_x[:, :, torch.as_tensor(rows + 2), torch.as_tensor(columns + 2)]
    assert (framed == framed[0, 0, 0]).all()  # every image has the mark's colour there
    assert (given.images != given.before).any((1, 2)).sum() == 15


def test_early_rounds_are_those_of_the_cifar_experiment_and_may_be_full(monkeypatch):
    fits, fit = [], training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **k: fits.append(a[4].n_steps(300)) or fit(*a, **k))
    list(rounds(small()))
    assert fits == [30, 27, 60]  # 2 passes of 300, 2 of the 270 kept, 4 passes' worth of 300
    fits.clear()
    list(rounds(small(stop_early=False)))
    assert fits == [60, 54, 60]


@pytest.mark.parametrize("method", ["itlm", "oracle"])
def test_the_selection_that_the_last_network_was_trained_on_is_named(method, monkeypatch):
    config, fitted, fit = small(method=method).resolved(), [], training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **k: fitted.append(a[3]) or fit(*a, **k))
    steps = list(rounds(config))
    at = backdoor.trained_on(config)
    assert torch.equal(steps[-1 if at == "last" else at].kept, fitted[-1])


def test_a_single_fit_was_trained_on_no_selection():
    config = small(early=1, rounds=0).resolved()
    assert backdoor.trained_on(config) is None
    assert tables.series(recorded(config), config, "test_accuracy", None).empty


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"alpha": 0.05}, "alpha=0.05 keeps 15 of 300 images, fewer than a batch of 20: raise alpha or n"),
        ({"method": "low_loss", "alpha": 0.05}, "alpha=0.05 keeps 15 of 300 images"),
        ({"method": "oracle", "batch": 290}, "method='oracle' keeps 285 of 300 images, .*: raise n, or lower batch"),
    ],
    ids=["itlm", "low_loss", "oracle"],
)
def test_a_selection_too_small_for_a_batch_is_refused_before_any_fit(monkeypatch, changes, said):
    monkeypatch.setattr(training, "fit", None)
    with pytest.raises(ValueError, match=said):
        next(rounds(small(**changes)))


@pytest.mark.parametrize("method", ["itlm", "naive", "oracle", "spectral", "clustering", "low_loss"])
def test_a_run_measures_what_it_says_and_its_cost_is_known_beforehand(method):
    config = small(method=method)
    record = run(config)
    last = {name: value for _, name, value in record.rows}
    assert last["visits"] == backdoor.visits(config) and last["marked"] == pytest.approx(5)
    assert 0 <= last["attack"] <= 100 and last["bad_kept"] <= 15
    if method == "naive":
        passes = [value for t, name, value in record.rows if name == "attack_pass"]
        assert len(passes) == 4 and passes[-1] == pytest.approx(last["attack"])
        (only,) = rounds(config, watch=True)
        assert isinstance(only, SingleRound) and [seen["attack_pass"] for seen in only.history] == passes


def test_a_naive_run_of_a_pair_keeps_images_before_and_after():
    record = run(small(method="naive", epochs=1.0))
    before, after = record.arrays["before"], record.arrays["after"]
    mark = task(small()).mark
    assert before.shape == after.shape == (4, 28, 28)
    assert np.array_equal(after, marks.watermark(before, mark)) and not np.array_equal(before, after)
    assert run(small(method="naive", epochs=1.0, class_a=None)).arrays == {}


@pytest.mark.parametrize("method", ["spectral", "clustering", "low_loss"])
def test_the_last_fit_is_to_what_a_defence_keeps_of_what_the_first_one_has_learnt(method, monkeypatch):
    config, fits, fit = small(method=method), [], training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **k: fits.append((a[3], fit(*a, **k))) or fits[-1][1])
    given = task(config)
    (step,) = rounds(config, given)
    (everything, (first, _)), (kept, (last, _)) = fits
    assert everything is None and kept is step.kept and last is step.theta
    found = rivals.features(first, given.x)
    expected = {
        "spectral": lambda: rivals.spectral_signatures(found, given.y, 22),
        "clustering": lambda: rivals.activation_clustering(found, given.y),
        "low_loss": lambda: rivals.low_loss(training.sample_losses(first, given.x, given.y), 0.9),
    }
    assert torch.equal(kept, expected[method]())


def test_a_perfect_detector_may_drop_every_marked_sample(monkeypatch):
    """The marks all sit in one class: what is dropped of a class must be enough for them."""
    config = small(method="spectral")
    given = task(config)
    apart = torch.randn(300, 8) + 50 * torch.as_tensor(given.is_bad)[:, None]
    monkeypatch.setattr(rivals, "features", lambda network, x: apart)
    (step,) = rounds(config, given)
    assert not (step.kept.numpy() & given.is_bad).any()


def test_marks_from_every_class_are_recorded_as_such(tmp_path, monkeypatch):
    configs = [small(class_a=a, method="oracle", epochs=1.0).resolved() for a in (None, 1)]
    for config in configs:
        save_part(run(config), tmp_path)
    tables.collect("backdoor", tmp_path, tmp_path)
    monkeypatch.setattr(tables, "folder", lambda: tmp_path)
    assert sweep.faults("backdoor") == []
    recorded_tables = tables.results("backdoor.runs"), tables.results("backdoor")
    found = [tables.series(recorded_tables, config, "bad_kept") for config in configs]
    assert [len(values) for values in found] == [1, 1]


def test_a_strong_mark_is_learnt_and_the_oracle_never_learns_it():
    config = small(n=600, epochs=10.0, share=0.1, width=8, class_a=None, method="naive")
    given = task(config)
    (naive,), (oracle,) = rounds(config, given), rounds(small(**vars(config) | {"method": "oracle"}), given)
    found = [measure(step, given, config) for step in (naive, oracle)]
    assert found[0]["attack"] > 80 and found[1]["attack"] < 20
    assert min(numbers["test_accuracy"] for numbers in found) > 70
    assert attack.watched(naive.theta, given)["attack_pass"] == pytest.approx(found[0]["attack"])


@pytest.mark.parametrize("method", ["itlm", "spectral", "clustering", "low_loss"])
def test_the_truth_and_the_tests_never_reach_the_method(method):
    config = small(method=method, epochs=1.0)
    given = task(config)
    blind = given._replace(**dict.fromkeys(set(given._fields) - {"x", "y"}))
    for ours, theirs in zip(rounds(config, given), rounds(config, blind), strict=True):
        assert torch.equal(ours.kept, theirs.kept) and torch.equal(ours.losses, theirs.losses)


def test_the_same_seed_gives_the_same_record():
    first, again, other = (run(small(seed=seed, epochs=1.0)) for seed in (0, 0, 1))
    assert first.rows == again.rows != other.rows and first.key == again.key != other.key


class Stopped(Exception):
    pass


@pytest.mark.parametrize("method", ["itlm", "naive"])
def test_a_run_that_was_stopped_goes_on_to_the_same_record(method, tmp_path, monkeypatch):
    config, file, saves = small(method=method), tmp_path / "run.pt", []
    whole = run(config)
    save = checkpoints.Checkpoint.save

    def stopping(self, step):
        save(self, step)
        saves.append(step)
        if len(saves) == 3:
            raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(checkpoints.Checkpoint, "save", stopping)
        run(config, checkpoint=file)
    assert run(config, checkpoint=file).rows == whole.rows and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"class_a": 4, "class_b": 4}, "class_a and class_b must differ, got 4 for both"),
        ({"mark": "O"}, "mark must be one of 'pixel', 'L', 'X', 'patch'"),
        ({"share": 0.6}, r"share must be a number in \[0, 0.5\], got 0.6"),
    ],
)
def test_a_bad_field_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Config(**fields)


def test_more_marks_than_images_of_the_class_are_refused():
    with pytest.raises(ValueError, match="share=0.2 of n=300 marks 60 images, and class_a=1 has 30: lower share"):
        task(small(share=0.2))


def test_fits_are_those_of_the_cifar_experiment():
    """What both configurations have decides the same of a fit."""
    config = small().resolved()
    shared = {name: getattr(config, name) for name in [*Recipe.ranges(), "alpha", "seed", "balanced"]}
    given = task(config)
    ours, theirs = backdoor.settings(config, given), cifar.settings(cifar.Config(**shared).resolved(), given)
    for t, n_seen in ((0, 300), (1, 270), (2, 270)):
        assert ours.schedule(t, n_seen) == theirs.schedule(t, n_seen)
    first, second = (initialised(s.make_network, 3).state_dict() for s in (ours, theirs))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    rest = ("seed", "note", "warm", "augment_scoring", "unseen", "chosen_on")
    assert [getattr(ours, name) for name in rest] == [getattr(theirs, name) for name in rest]


def test_at_most_two_thousand_samples_of_each_kind_are_watched(monkeypatch):
    monkeypatch.setattr(attack, "WATCHED", 10)
    given, seen, outputs = task(small()), [], training.outputs
    network = initialised(backdoor.settings(small().resolved(), given).make_network, 0).eval()
    monkeypatch.setattr(training, "outputs", lambda network, x: seen.append(len(x)) or outputs(network, x))
    attack.watched(network, given)
    assert seen == [len(given.attack_x), 10 + 8]  # every 29th of 285, every second of 15

"""Backdoors: what is planted and what is tested, a truth that stays outside, and defences with a known answer."""

import numpy as np
import pytest
import torch
from runs import recorded
from torch import nn

from itlm.experiments import backdoor, cifar
from itlm.deep import checkpoints, corruption, images as data, training
from itlm.rivals import backdoors as defences
from itlm.records import tables as records
from itlm import sweep
from itlm.experiments.backdoor import (Config, measure, rounds, run, task, watched)
from itlm.deep.networks import SmallNet

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
    given, test = task(small(class_a=class_a)), data.load("mnist5k")
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
    config, fitted, fit = small(method=method), [], training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **k: fitted.append(a[3]) or fit(*a, **k))
    steps = list(rounds(config))
    at = backdoor.trained_on(config)
    assert torch.equal(steps[-1 if at == "last" else at].kept, fitted[-1])


def test_a_single_fit_was_trained_on_no_selection():
    config = small(early=1, rounds=0).resolved()
    assert backdoor.trained_on(config) is None
    assert records.series(recorded(config), config, "test_accuracy", None).empty


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


def test_a_naive_run_of_a_pair_keeps_images_before_and_after():
    record = run(small(method="naive", epochs=1.0))
    before, after = record.arrays["before"], record.arrays["after"]
    mark = task(small()).mark
    assert before.shape == after.shape == (4, 28, 28)
    assert np.array_equal(after, corruption.watermark(before, mark)) and not np.array_equal(before, after)
    assert run(small(method="naive", epochs=1.0, class_a=None)).arrays == {}


@pytest.mark.parametrize("method", ["spectral", "clustering", "low_loss"])
def test_the_last_fit_is_to_what_a_defence_keeps_of_what_the_first_one_has_learnt(method, monkeypatch):
    config, fits, fit = small(method=method), [], training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **k: fits.append((a[3], fit(*a, **k))) or fits[-1][1])
    given = task(config)
    (step,) = rounds(config, given)
    (everything, first), (kept, last) = fits
    assert everything is None and kept is step.kept and last is step.theta
    found = defences.features(first, given.x)
    expected = {
        "spectral": lambda: defences.spectral_signatures(found, given.y, 22),
        "clustering": lambda: defences.activation_clustering(found, given.y),
        "low_loss": lambda: defences.low_loss(training.sample_losses(first, given.x, given.y), 0.9),
    }
    assert torch.equal(kept, expected[method]())


def test_a_perfect_detector_may_drop_every_marked_sample(monkeypatch):
    """The marks all sit in one class: what is dropped of a class must be enough for them."""
    config = small(method="spectral")
    given = task(config)
    apart = torch.randn(300, 8) + 50 * torch.as_tensor(given.is_bad)[:, None]
    monkeypatch.setattr(defences, "features", lambda network, x: apart)
    (step,) = rounds(config, given)
    assert not (step.kept.numpy() & given.is_bad).any()


def test_marks_from_every_class_are_recorded_as_such(tmp_path, monkeypatch):
    configs = [small(class_a=a, method="oracle", epochs=1.0).resolved() for a in (None, 1)]
    for config in configs:
        records.save_part(run(config), tmp_path)
    records.collect("backdoor", tmp_path, tmp_path)
    monkeypatch.setattr(records, "folder", lambda: tmp_path)
    assert sweep.faults("backdoor") == []
    tables = records.results("backdoor.runs"), records.results("backdoor")
    found = [records.series(tables, config, "bad_kept") for config in configs]
    assert [len(values) for values in found] == [1, 1]


def test_a_strong_mark_is_learnt_and_the_oracle_never_learns_it():
    config = small(n=600, epochs=10.0, share=0.1, width=8, class_a=None, method="naive")
    given = task(config)
    (naive,), (oracle,) = rounds(config, given), rounds(small(**vars(config) | {"method": "oracle"}), given)
    found = [measure(step, given, config) for step in (naive, oracle)]
    assert found[0]["attack"] > 80 and found[1]["attack"] < 20
    assert min(numbers["test_accuracy"] for numbers in found) > 70
    assert watched(naive.theta, given, config)["attack_pass"] == pytest.approx(found[0]["attack"])


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


# defences


def planted(seed=0, n=400, bad=20):
    """Features of two classes; in class 1 some samples lie apart, in one direction."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    found, is_bad = random.normal(size=(n, 16)), np.zeros(n, bool)
    is_bad[random.choice(np.flatnonzero(y == 1), bad, replace=False)] = True
    found[is_bad, :4] += 6
    return torch.as_tensor(found).float(), torch.as_tensor(y), is_bad


def test_spectral_signatures_drop_what_lies_farthest_along_the_main_direction():
    found, y, is_bad = planted()
    kept = defences.spectral_signatures(found, y, 30).numpy()
    assert not (kept & is_bad).any() and [int(kept[y.numpy() == c].sum()) for c in (0, 1)] == [170, 170]
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    assert np.array_equal(defences.spectral_signatures(found[order], y[order], 30).numpy(), kept[order])


def test_clustering_drops_a_small_cluster_and_leaves_a_class_that_falls_into_halves():
    found, y, is_bad = planted()
    kept = defences.activation_clustering(found, y).numpy()
    assert np.array_equal(kept, ~is_bad)
    assert defences.activation_clustering(found[~is_bad], y[~is_bad]).all()


def test_a_class_too_small_to_cluster_is_left_alone():
    assert defences.activation_clustering(torch.randn(2, 4), torch.tensor([0, 1])).all()


def test_the_low_loss_filter_is_trimming_turned_round():
    losses = torch.rand(50, generator=torch.Generator().manual_seed(0))
    kept = defences.low_loss(losses, 0.9)
    assert kept.sum() == 45 and losses[~kept].max() < losses[kept].min()


def test_features_are_what_the_last_layer_sees():
    network, x = SmallNet(width=4).eval(), torch.randn(7, 3, 32, 32)
    found = defences.features(network, x, batch=3)
    assert found.shape == (7, 16)
    with torch.no_grad():
        assert torch.allclose(network[-1](found), network(x), atol=1e-5)
    assert not network[-1]._forward_pre_hooks
    with pytest.raises(ValueError, match="network has no linear layer"):
        defences.features(nn.Conv2d(3, 1, 1), x)


def test_fits_go_through_the_cifar_experiment():
    """Every field that the two share has the same value in the inner run."""
    config = small().resolved()
    inner = backdoor._inner(config, "itlm")
    assert isinstance(inner, cifar.Config)
    assert all(getattr(inner, name) == getattr(config, name) for name in ("n", "alpha", "seed", "lr", "width", "early"))

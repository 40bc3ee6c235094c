"""The label-noise experiment: one seed one record, and a truth that never reaches the method."""

import os
import warnings
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from itlm import n_kept, trim
from itlm.deep import images, networks, training
from itlm.deep.inputs import to_tensor
from itlm.errors import Refused
from itlm.experiments import label_noise, labels
from itlm.experiments.labels import Config, measure, rounds, run, task

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # A fit of ten steps may well lose a class; where that matters, a test looks at the warning itself.
    pytest.mark.filterwarnings("ignore:round . keeps no sample of class"),
]
PARTS = ("train_x", "train_y", "test_x", "test_y")


def small(**changes):
    """A run that is done at once."""
    fields = {"noise": "random", "clean": 0.7, "n": 200, "epochs": 1, "batch": 20, "rounds": 2, "momentum": 0.9}
    return Config(**fields | changes)


@pytest.fixture(autouse=True)
def less_work(monkeypatch):
    """A narrower LeNet, tested on 100 digits."""

    def few(name):
        full = images.load(name)
        return full._replace(test_x=full.test_x[:100], test_y=full.test_y[:100])

    monkeypatch.setattr(label_noise, "_images", few)
    monkeypatch.setattr(networks, "LeNet", partial(networks.LeNet, channels=(8, 16, 64)))


def plain(config, given, kept, t):
    """Ordinary training on some of the samples, with the seed of fit number t."""
    c = config.resolved()
    schedule = training.Schedule(epochs=c.epochs, batch=c.batch, lr=c.lr, momentum=c.momentum)
    make = partial(networks.LeNet, activation=c.activation, bounded=c.bounded)
    return training.fit(make, given.x, given.y, kept, schedule, seed=training.derived_seed(c.seed, t)).network


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Config


@pytest.mark.parametrize(
    ("clean", "alpha"),
    [(0.6, 0.55), (0.7, 0.65), (0.8, 0.75), (0.9, 0.85), (0.3, 0.25), (1, 0.95), (0.05, 0.05), (0, 0.05)],
)
def test_alpha_is_five_points_less_than_clean_unless_given(clean, alpha):
    assert Config(clean=clean).resolved().alpha == alpha
    assert Config(clean=clean, alpha=0.45).resolved().alpha == 0.45


@pytest.mark.parametrize("scale", labels.SCALES)
def test_nothing_is_left_open_once_resolved_and_what_was_given_stays(scale):
    config = Config(scale=scale, n=500, lr=0.2).resolved()
    assert None not in vars(config).values()
    assert (config.n, config.lr, config.epochs) == (500, 0.2, labels.SCALES[scale]["epochs"])
    assert config.resolved() == config


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dataset", "minst", "dataset must be one of 'mnist5k', 'mnist', 'fashion_mnist' or None, got 'minst'"),
        ("noise", "uniform", "noise must be one of 'systematic', 'random', 'confusable', got 'uniform'"),
        ("method", "ltlm", "method must be one of 'itlm', 'oracle', 'centroid', 'gce', .* got 'ltlm'"),
        ("scale", "big", "scale must be one of 'demo', 'cpu', 'paper', 'authors', got 'big'"),
        ("activation", "gelu", "activation must be one of 'tanh', 'relu', got 'gelu'"),
        ("alpha", 0, r"alpha must be a number in \(0, 1\] or None, got 0"),
        ("alpha", 1.3, r"alpha must be a number in \(0, 1\] or None, got 1.3"),
        ("clean", 60, r"clean must be a number in \[0, 1\], got 60"),
        ("rounds", 2.5, r"rounds must be an integer in \[0, 50\] or None, got 2.5"),
    ],
)
def test_a_bad_field_is_named_with_what_is_valid(field, value, message):
    with pytest.raises(ValueError, match=message):
        Config(**{field: value})


def test_more_images_than_there_are_is_named():
    with pytest.raises(ValueError, match="n must be between 1 and the 3000 samples there are, got 3001"):
        task(small(n=3001))


# task


@pytest.mark.parametrize(("noise", "clean"), [("random", 0.3), ("systematic", 0.8)])
def test_a_task_has_the_noise_that_was_asked_for_and_the_truth_beside_it(noise, clean):
    given = task(small(noise=noise, clean=clean))
    full = images.load("mnist5k")
    known = {image.tobytes(): label for image, label in zip(full.train_x, full.train_y, strict=True)}
    true = np.array([known[image.tobytes()] for image in given.images], int)
    assert np.bincount(true).tolist() == [20] * 10
    assert (given.is_bad == (given.y.numpy() != true)).all()
    assert given.rate == pytest.approx(1 - clean)
    assert torch.equal(given.x, to_tensor(given.images))
    assert torch.equal(given.test_x, to_tensor(full.test_x[:100], like=given.images))
    assert given.test_y.tolist() == full.test_y[:100].tolist()  # the test labels are never spoilt


def test_the_seed_decides_the_subset_and_the_errors():
    first, again, other = (task(small(seed=seed)) for seed in (1, 1, 2))
    assert (first.images == again.images).all() and torch.equal(first.y, again.y)
    assert (first.images != other.images).any() and not torch.equal(first.y, other.y)


# rounds


def test_round_0_is_plain_training_on_everything_and_each_update_on_the_kept():
    config = small()
    given = task(config)
    first, second, third = rounds(config, given)
    assert same(first.theta, plain(config, given, None, 0))
    assert same(second.theta, plain(config, given, first.kept, 1))
    assert same(third.theta, plain(config, given, second.kept, 2))
    for step in (first, second, third):
        assert torch.equal(step.losses, training.sample_losses(step.theta, given.x, given.y))
        assert torch.equal(step.kept, trim(step.losses, 0.65)) and step.kept.sum() == 130


def test_alpha_one_is_plain_training_in_every_round():
    config = small(alpha=1)
    given = task(config)
    for step in rounds(config, given):
        assert step.kept.all()
        assert same(step.theta, plain(config, given, None, step.t))


@pytest.mark.parametrize("method", ["itlm", "centroid"])
def test_the_truth_never_reaches_the_method(method):
    config = small(method=method)
    given = task(config)
    order = np.random.default_rng(0).permutation(len(given.is_bad))
    for truth in (given.is_bad[order], None):
        steps = list(zip(rounds(config, given), rounds(config, given._replace(is_bad=truth)), strict=True))
        assert len(steps) == (3 if method == "itlm" else 1)
        for ours, blind in steps:
            assert torch.equal(ours.kept, blind.kept) and torch.equal(ours.losses, blind.losses)
            assert same(ours.theta, blind.theta)


def test_the_test_images_never_reach_the_method():
    config = small()
    given = task(config)
    unseen = given._replace(test_x=None, test_y=None)
    for ours, blind in zip(rounds(config, given), rounds(config, unseen), strict=True):
        assert torch.equal(ours.kept, blind.kept) and same(ours.theta, blind.theta)


def test_the_oracle_trains_on_exactly_the_clean_samples():
    config = small(method="oracle")
    given = task(config)
    (only,) = rounds(config, given)
    assert (only.kept.numpy() == ~given.is_bad).all() and only.alpha == pytest.approx(0.7)
    assert same(only.theta, plain(config, given, only.kept, 0))
    assert only.objective == pytest.approx(only.losses[only.kept].sum().item()) and only.n_left == 60


def test_the_centroid_rule_drops_the_farthest_of_each_given_class():
    config = small(method="centroid")
    given = task(config)
    (only,) = rounds(config, given)
    x, y, kept = given.x.flatten(1).double().numpy(), given.y.numpy(), only.kept.numpy()
    assert kept.sum() == n_kept(200, 0.65)
    for c in range(10):
        mine = x[y == c]
        far = ((mine - mine.mean(axis=0)) ** 2).sum(axis=1)
        assert np.allclose(label_noise.centroid_distances(given.x, given.y)[y == c], far, rtol=1e-4)
        share = kept[y == c].sum()
        assert abs(share - 0.65 * len(mine)) < 1
        assert set(np.flatnonzero(kept[y == c])) == set(np.argsort(far)[:share])
    assert same(only.theta, plain(config, given, only.kept, 0))


def test_more_may_be_kept_than_is_clean():
    config = small(clean=0.6, alpha=0.9, rounds=1)
    assert [int(step.kept.sum()) for step in rounds(config)] == [180, 180]


@pytest.mark.parametrize("balanced", [True, False])
def test_an_emptied_class_is_warned_about_and_balancing_is_the_remedy(monkeypatch, balanced):
    seven_is_hard = lambda network, x, y: 5.0 * (y == 7) + torch.linspace(0, 1, len(y))  # noqa: E731
    monkeypatch.setattr(training, "sample_losses", seven_is_hard)
    config = small(alpha=0.8, balanced=balanced, rounds=1)
    given = task(config)
    sizes = torch.bincount(given.y, minlength=10)
    assert sizes[7] <= 40
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shares = [torch.bincount(given.y[step.kept], minlength=10) for step in rounds(config, given)]
    said = [str(warning.message) for warning in caught if warning.category is UserWarning]
    if balanced:
        assert said == [] and all((abs(share - 0.8 * sizes) < 1).all() for share in shares)
    else:
        assert said and all("class 7" in text and "balanced=True" in text for text in said)
        assert all(share[7] == 0 for share in shares)


@pytest.mark.parametrize(("method", "field"), [("itlm", "alpha"), ("centroid", "alpha"), ("oracle", "clean")])
def test_a_selection_too_small_for_a_batch_is_refused_before_any_fit(monkeypatch, method, field):
    monkeypatch.setattr(training, "fit", None)
    said = f"{field}=0.05 keeps 10 of 200 images, fewer than a batch of 20: raise {field} or n, or lower batch"
    with pytest.raises(ValueError, match=said):
        next(rounds(small(method=method, clean=0.05, alpha=0.05)))


@pytest.mark.parametrize("changes", [{"rounds": 0}, {"method": "self_paced"}])
def test_what_fits_everything_needs_no_batch_of_kept_samples(changes):
    (only,) = rounds(small(alpha=0.05, **changes))
    assert len(only.kept) == 200


@pytest.mark.parametrize("equal", ["steps", "epochs"])
def test_early_fits_are_short_and_the_others_equal_in_what_was_asked(monkeypatch, equal):
    config, steps = small(alpha=0.5, epochs=4, rounds=2, early=1, early_epochs=2.0, equal=equal), []
    monkeypatch.setattr(
        training, "fit", lambda *a, fit=training.fit, **k: steps.append(a[4].n_steps(200)) or fit(*a, **k)
    )
    *_, last = rounds(config)
    assert steps == ([20, 40, 40] if equal == "steps" else [20, 20, 20])
    assert labels.visits(config) == 20 * sum(steps)


@pytest.mark.parametrize("alpha", [0.25, 0.55, 0.85])
def test_the_authors_fits_see_as_many_samples_in_whole_epochs(monkeypatch, alpha):
    config, seen = Config(scale="authors", dataset="mnist5k", n=230, batch=100, epochs=3, rounds=2, alpha=alpha), []

    def fit(make, x, y, kept, schedule, fit=training.fit, **rest):
        n_seen = len(y) if kept is None else int(kept.sum())
        seen.append((n_seen, schedule.visits(len(y), n_seen), schedule.n_steps(len(y)), schedule.shape))
        return fit(make, x, y, kept, schedule, **rest)

    monkeypatch.setattr(training, "fit", fit)
    *_, last = rounds(config)
    for n_seen, visits, steps, shape in seen:
        assert visits % n_seen == 0 and 3 * 230 - n_seen < visits <= 3 * 230
        assert steps == visits // n_seen * -(-n_seen // 100) and shape == "drop"
    assert labels.visits(config) == sum(visits for _, visits, *_ in seen)


def test_the_authors_pixels_lie_between_zero_and_one():
    given = task(small(scale="authors", dataset="mnist5k"))
    assert torch.equal(given.x, torch.tensor(given.images).unsqueeze(1) / 255)
    assert 0 <= float(given.test_x.min()) and float(given.test_x.max()) == 1


def test_epochs_of_the_authors_that_are_less_than_one_are_named():
    with pytest.raises(ValueError, match="epochs=0.5 are less than one epoch over 200 samples: raise epochs"):
        next(rounds(small(scale="authors", dataset="mnist5k", epochs=0.5)))


@pytest.mark.parametrize("changes", [{"early": 1}, {"equal": "epochs"}, {"method": "gce", "equal": "steps"}])
def test_what_a_way_of_choosing_cannot_go_with_is_named(changes):
    with pytest.raises(ValueError, match="choose='noisy_validation'"):
        small(choose="noisy_validation", **changes)


def test_early_passes_that_do_not_fill_a_batch_are_named():
    with pytest.raises(ValueError, match=r"early_epochs=0.15 over n=100 samples do not fill a batch of 20: raise"):
        labels.visits(small(alpha=0.5, early=2, early_epochs=0.15))


def test_a_yardstick_is_fitted_in_full_however_short_the_early_fits():
    short = {"method": "oracle", "epochs": 4}
    assert labels.visits(small(early=2, **short)) == labels.visits(small(**short)) == 800


def test_a_warm_fit_begins_where_the_last_one_ended():
    cold, warm = (list(rounds(small(warm=warm, lr=1e-30))) for warm in (False, True))  # steps that move nothing
    assert same(warm[1].theta, warm[0].theta) and same(warm[2].theta, warm[0].theta)
    assert not same(cold[1].theta, cold[0].theta)


@pytest.mark.parametrize("choose", ["noisy_test", "noisy_validation"])
def test_the_pass_that_does_best_on_noisy_labels_gives_the_network(choose):
    config = small(choose=choose, epochs=6, rounds=1)
    given = task(config)
    steps = list(rounds(config, given))
    unseen = labels.settings(config.resolved(), given).unseen
    if choose == "noisy_test":
        x, y = given.test_x, given.noisy_test_y
        assert (y != given.test_y).double().mean() == pytest.approx(0.3)
    else:
        x, y = given.x[unseen], given.y[unseen]
        assert len(y) == 20
    accuracies = []

    def look(network, step):
        with torch.no_grad():
            accuracies.append((network(x).argmax(1) == y).double().mean().item())

    schedule = training.Schedule(epochs=6, batch=20, lr=0.1, momentum=0.9)
    make = partial(networks.LeNet, activation="tanh", bounded=True)
    seen = None if unseen is None else ~unseen
    training.fit(make, given.x, given.y, seen, schedule, seed=training.derived_seed(0, 0), watch=look)
    with torch.no_grad():
        reached = (steps[0].theta(x).argmax(1) == y).double().mean().item()
    assert reached == pytest.approx(max(accuracies))


@pytest.mark.parametrize("balanced", [True, False])
def test_rare_classes_are_rare_and_looked_at_by_themselves(balanced):
    config = small(imbalance=10.0, balanced=balanced, clean=1.0, alpha=0.8, rounds=1)
    given = task(config)
    sizes = torch.bincount(given.y, minlength=10)
    assert len(given.y) == 200 and sizes[7:].max() <= 4 and sizes[:7].min() >= 24
    (first, _) = rounds(config, given)
    found = measure(first, given, config)
    rare = given.y >= 7
    assert found["recall_rare"] == pytest.approx(100 * first.kept[rare].double().mean().item())
    assert "recall_rare" not in measure(first, given, small())
    with pytest.raises(ValueError, match="n=2900 with imbalance=10 needs more images"):
        task(small(n=2900, imbalance=10.0))


# measure


def test_visits_count_what_the_fits_so_far_were_shown(monkeypatch):
    config, shown = small(n=210), [0]

    def counted(*arguments, batches=training.batches):
        for batch in batches(*arguments):
            shown[0] += len(batch)
            yield batch

    monkeypatch.setattr(training, "batches", counted)
    given = task(config)
    visits = [(measure(step, given, config)["visits"], shown[0]) for step in rounds(config, given)]
    assert visits == [(200, 200), (400, 400), (600, 600)]  # the same whatever is kept; 210 samples are 10 whole batches


@pytest.mark.parametrize("method", ["itlm", "oracle", "centroid"])
def test_the_cost_of_a_run_is_known_beforehand(method):
    config = small(method=method)
    *_, last = (value for _, name, value in run(config).rows if name == "visits")
    assert labels.visits(config) == last == (600 if method == "itlm" else 200)


def test_a_round_is_measured_against_the_truth():
    config = small(rounds=0)
    given = task(config)
    (step,) = rounds(config, given)
    found = measure(step, given, config)
    kept = step.kept.numpy()
    with torch.no_grad():
        right = (step.theta(given.test_x).argmax(1) == given.test_y).double().mean().item()
    assert found["test_accuracy"] == pytest.approx(100 * right)
    assert found["precision"] == pytest.approx(100 * (~given.is_bad[kept]).sum() / 130)
    assert found["recall"] == pytest.approx(100 * (~given.is_bad[kept]).sum() / 140)
    pairs = step.losses.numpy()[given.is_bad][:, None] > step.losses.numpy()[~given.is_bad]
    assert found["auc"] == pytest.approx(100 * pairs.mean(), abs=0.01)
    assert found["classes_kept"] == len(given.y[step.kept].unique())


def test_without_errors_there_is_nothing_to_rank():
    rows = run(small(clean=1, rounds=0)).rows
    assert {name for _, name, _ in rows} == {
        "test_accuracy",
        "classes_kept",
        "visits",
        "precision",
        "recall",
        "wrong_rate",
    }
    assert [value for _, name, value in rows if name == "wrong_rate"] == [0]


# run


@pytest.mark.parametrize("method", ["itlm", "oracle", "centroid"])
def test_the_same_seed_gives_the_same_record(method):
    first, again, other = (run(small(method=method, rounds=1, seed=seed)) for seed in (0, 0, 1))
    assert first.rows == again.rows != other.rows
    assert first.key == again.key != other.key
    assert first.parameters == again.parameters == vars(small(method=method, rounds=1).resolved())
    assert first.provenance["status"] == "ok"
    assert [row for row in first.rows if row[1] == "wrong_rate"] == [[0, "wrong_rate", pytest.approx(30)]]


def test_a_record_does_not_depend_on_global_generators():
    torch.manual_seed(1)
    np.random.seed(1)
    first = run(small(rounds=0))
    torch.manual_seed(2)
    np.random.seed(2)
    assert run(small(rounds=0)).rows == first.rows


class Stopped(Exception):
    pass


def stopping_at(t):
    def stopping(step, *arguments, measure=measure):
        if step.t == t:
            raise Stopped
        return measure(step, *arguments)

    return stopping


def test_a_run_that_was_stopped_goes_on_to_the_same_record(tmp_path, monkeypatch):
    config, file, fits = small(rounds=4), tmp_path / "run.pt", []
    whole = run(config)
    monkeypatch.setattr(training, "fit", lambda *a, fit=training.fit, **k: fits.append(k["note"]) or fit(*a, **k))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(labels, "measure", stopping_at(3))
        run(config, checkpoint=file)
    assert file.exists()
    resumed = run(config, checkpoint=file)
    assert resumed.rows == whole.rows and resumed.key == whole.key
    assert fits == ["itlm 0", "itlm 1", "itlm 2", "itlm 3", "itlm 3", "itlm 4"]
    assert list(tmp_path.iterdir()) == []


def test_the_checkpoint_of_another_run_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(labels, "measure", stopping_at(1))
        run(small(), checkpoint=tmp_path / "run.pt")
    with pytest.raises(Refused, match="run.pt is of run .*, this is run .*: remove the file"):
        run(small(seed=1), checkpoint=tmp_path / "run.pt")


# The real set.


@pytest.mark.data
def test_a_small_run_on_mnist_itself():
    root = os.environ.get("ITLM_DATA")
    if not root or not all((Path(root) / "mnist" / f"{part}.npy").exists() for part in PARTS):
        pytest.skip("$ITLM_DATA is unset or lacks mnist")
    record = run(small(scale="cpu", n=300, batch=10, rounds=1))
    assert record.parameters["dataset"] == "mnist"
    assert record.provenance["data"] == images.digest("mnist")[:12]
    found = {(t, name): value for t, name, value in record.rows}
    assert found[0, "wrong_rate"] == pytest.approx(30, abs=1)
    assert found[1, "precision"] > 71 and found[1, "test_accuracy"] > 30


# calibration


def test_the_calibration_finds_the_epochs_whose_baseline_and_oracle_are_nearest_to_the_print():
    printed = pd.DataFrame(
        [("mnist5", "systematic", 60, 66.0, 99.0, 92.0), ("mnist5", "random", 50, 88.0, 99.0, 91.0),
         ("cifar10", "random", 50, 1.0, 1.0, 1.0)],
        columns=["dataset", "noise", "clean_percent", "baseline", "itlm", "oracle"],
    )  # fmt: skip
    off = {30.0: (4.0, -3.0), 40.0: (1.0, 2.0)}  # of baseline and oracle, in points
    rows, values = [], []

    def add(seed, value, **fields):
        config = Config(scale="authors", seed=seed, **fields).resolved()
        rows.append({"key": f"k{len(rows)}", **asdict(config), "status": "ok", "recipe": labels.RECIPE})
        values.append((rows[-1]["key"], 0, "test_accuracy", value))

    for epochs, gaps in off.items():
        for noise, clean, *right in (("systematic", 0.6, 66.0, 92.0), ("random", 0.5, 88.0, 91.0)):
            alike = {"noise": noise, "clean": clean, "epochs": epochs}
            for seed, spread in ((100, 0.5), (101, -0.5)):
                add(seed, right[0] + gaps[0] + spread, rounds=0, **alike)
                add(seed, right[1] + gaps[1] + spread, method="oracle", **alike)
            add(0, 0.0, rounds=0, **alike)  # a seed of the results
            add(100, 0.0, **alike)  # a run with trimmed rounds
    tables = pd.DataFrame(rows), pd.DataFrame(values, columns=["key", "round", "metric", "value"])
    found = labels.calibration(tables, printed)
    assert found.baseline.tolist() == [4, 1] and found.oracle.tolist() == [3, 2] and found.n.tolist() == [2, 2]
    assert np.allclose(found.distance, np.sqrt([(16 + 9) / 2, (1 + 4) / 2])) and found.distance.idxmin() == 40
    older = tables[0].assign(recipe=labels.RECIPE - 1), tables[1]
    assert labels.calibration(older, printed).empty


# the fraction kept, estimated


@pytest.mark.filterwarnings("ignore:the share of wrong samples is unknown")  # to so small a network
def test_an_estimated_fraction_is_that_of_every_round_and_needs_no_truth():
    config = small(n=600, epochs=3, rounds=1, clean=0.75, fraction="estimated", seed=1)
    given = task(config)
    fraction = label_noise.fraction_of(config.resolved(), labels.settings(config.resolved(), given), given)
    assert 0.5 < fraction < 0.8
    steps = list(rounds(config, given._replace(is_bad=~given.is_bad)))
    assert [step.alpha for step in steps] == [fraction] * 2
    assert steps[0].kept.sum() == int(600 * fraction + 1e-9)
    found = measure(steps[1], given, config)
    plain = labels.visits(Config(**vars(config) | {"fraction": "given", "alpha": fraction}))
    assert found["fraction"] == fraction and found["visits"] == plain + 3 * 3 * 600
    assert "fraction" not in measure(steps[1], given, Config(n=600))
    assert label_noise.fraction_of(Config(alpha=0.4), None, given) == 0.4

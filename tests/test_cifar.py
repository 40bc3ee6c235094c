"""Label errors on colour images: early and full fits, equal steps, nothing lost, a truth that stays outside."""

import warnings

import pytest
import torch
from runs import colours

from itlm.deep import checkpoints, training
from itlm.experiments import backdoor, cifar, label_noise
from itlm.experiments.cifar import Config, measure, rounds, run, task
from itlm.experiments.rounds import SingleRound
from itlm.records.record import Record

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:round . keeps no sample of class"),
]


def small(**changes):
    """A run that is done at once."""
    fields = {"noise": "random", "clean": 0.7, "n": 200, "epochs": 4.0, "early": 2, "early_epochs": 2.0, "batch": 20}
    fields |= {"scale": "cpu", "whiten": False, "augment": "none"}
    return Config(**fields | {"rounds": 1, "lr": 0.05, "width": 4} | changes)


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    """Made-up images in place of CIFAR-10."""
    few = colours()
    monkeypatch.setattr(label_noise, "_images", lambda name: few)
    monkeypatch.setattr(cifar, "digest", lambda config: "stand-ins")


@pytest.mark.parametrize("scale", cifar.SCALES)
def test_nothing_is_left_open_once_resolved(scale):
    config = Config(scale=scale, n=500).resolved()
    assert None not in vars(config).values() and config.n == 500 and config.resolved() == config


def test_early_rounds_are_short_and_the_full_ones_as_long_as_the_baseline(monkeypatch):
    config, fits = small(alpha=0.5), []
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **k: fits.append((a[3], a[4].n_steps(200))) or fit(*a, **k))
    steps = list(rounds(config))
    assert [steps for _, steps in fits] == [20, 10, 40]  # 2 passes of 200, 2 of the 100 kept, 4 passes' worth of 200
    assert fits[0][0] is None and all(torch.equal(fits[t + 1][0], steps[t].kept) for t in (0, 1))
    assert [int(step.kept.sum()) for step in steps] == [100] * 3
    fits.clear()
    (only,) = rounds(small(method="baseline"))
    assert fits[0][1] == 40 and only.kept.all()


def test_full_fits_may_have_equal_passes(monkeypatch):
    fits, fit = [], training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **k: fits.append(a[4].n_steps(200)) or fit(*a, **k))
    config = small(alpha=0.5, equal="epochs")
    list(rounds(config))
    assert fits == [20, 10, 20] and cifar.visits(config) == 20 * sum(fits)


def test_a_warm_fit_begins_where_the_last_one_ended(monkeypatch):
    begun, fit = [], training.fit

    def looking(make, *others, **named):
        begun.append([p.detach().clone() for p in make().parameters()])
        return fit(make, *others, **named)

    monkeypatch.setattr(training, "fit", looking)
    steps = list(rounds(small(warm=True)))
    for step, weights in zip(steps, begun[1:], strict=False):
        assert all(torch.equal(a, b) for a, b in zip(step.theta.parameters(), weights, strict=True))


def test_scores_of_augmented_images_differ_and_are_those_of_the_same_seed_and_round():
    config = small(augment_scoring=True, augment="mirror")
    first, again, plain = (list(rounds(c)) for c in (config, config, small(augment="mirror")))
    assert torch.equal(first[0].losses, again[0].losses) and not torch.equal(first[0].losses, plain[0].losses)
    (resumed, *_) = rounds(config, start=1, theta=first[1].theta)
    assert torch.equal(resumed.losses, first[1].losses)


def test_the_papers_schedule_runs_as_a_whole_on_fewer_images_and_a_thinner_network(monkeypatch):
    fits, fit = [], training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **k: fits.append(a[4]) or fit(*a, **k))
    config = Config(scale="paper", noise="random", clean=0.6, n=120, width=1, epochs=4.0, early_epochs=1.0, batch=60)
    *_, last = rounds(config)
    full = Config(scale="paper", clean=0.6).resolved()
    assert [schedule.n_steps(120) for schedule in fits] == [2, 1, 1, 1, 8, 8, 8, 8] and last.t == 7
    assert all(s.augment == "shift" and s.half and s.shape == "drop" and s.lr == 0.1 and s.momentum == 0 for s in fits)
    assert (full.n, full.width, full.epochs, full.early_epochs, full.batch) == (50_000, 10, 80, 20, 256)
    assert training.Schedule(epochs=full.epochs, batch=256).n_steps(50_000) == 15_625


def test_a_recipe_cannot_be_chosen_where_no_image_is_left(monkeypatch):
    said = "n=200 leaves 100 of the 300 training images, fewer than the 5000 that are held out: take another dataset"
    with pytest.raises(ValueError, match=said):
        task(small(validate=True))


def test_an_oracle_without_clean_samples_is_refused():
    with pytest.raises(ValueError, match="the oracle has no clean sample to train on: raise clean"):
        list(rounds(small(method="oracle", clean=0.0, alpha=0.5)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "alpha=0.05 keeps 10 of 200 images, fewer than a batch of 20: raise alpha or n, or lower batch"),
        ({"method": "centroid"}, "alpha=0.05 keeps 10 of 200 images, .*: raise alpha or n, or lower batch"),
        ({"method": "oracle"}, "clean=0.05 keeps 10 of 200 images, .*: raise clean or n, or lower batch"),
        (
            {"method": "baseline", "batch": 300},
            "method='baseline' keeps 200 of 200 images, .*: raise n, or lower batch",
        ),
    ],
    ids=["itlm", "centroid", "oracle", "baseline"],
)
def test_a_selection_too_small_for_a_batch_is_refused_before_any_fit(monkeypatch, changes, said):
    monkeypatch.setattr(training, "fit", None)
    with pytest.raises(ValueError, match=said):
        next(rounds(small(clean=0.05, alpha=0.05, **changes)))


@pytest.mark.parametrize("changes", [{"early": 1, "rounds": 0}, {"method": "self_paced"}])
def test_what_fits_everything_needs_no_batch_of_kept_samples(changes):
    (only,) = rounds(small(alpha=0.05, **changes))
    assert len(only.kept) == 200


def test_passes_are_counted_without_rounding_errors():
    assert training.count_steps(4.35, 200, 10) == 87
    config = small(early_epochs=4.35, alpha=1.0, early=1, rounds=0, batch=10)
    assert cifar.visits(config) == 870


def test_early_passes_that_do_not_fill_a_batch_are_named():
    with pytest.raises(ValueError, match=r"early_epochs=0.05 over n=200 samples do not fill a batch of 20: raise"):
        next(rounds(small(early_epochs=0.05)))


def test_at_most_five_thousand_samples_are_watched(monkeypatch):
    monkeypatch.setattr(cifar, "WATCHED", 150)
    seen, outputs = [], training.outputs
    monkeypatch.setattr(training, "outputs", lambda network, x: seen.append(len(x)) or outputs(network, x))
    given = task(small())
    cifar.watched(cifar.make_network(small().resolved(), given).eval(), given)
    assert seen == [100]


def test_one_early_round_and_one_full_are_the_papers_one_step():
    steps = list(rounds(small(early=1, rounds=1)))
    assert [step.t for step in steps] == [0, 1]


@pytest.mark.parametrize("method", ["itlm", "baseline", "oracle", "centroid", "self_paced", "co_teaching"])
def test_the_cost_of_a_run_is_known_beforehand(method):
    config = small(method=method)
    *_, last = (value for _, name, value in run(config).rows if name == "visits")
    assert cifar.visits(config) == last


def test_wrong_labels_are_dropped():
    config = small(n=300, lr=0.1, epochs=6.0)
    given = task(config)
    *_, last = rounds(config, given)
    found = measure(last, given, config)
    assert found["precision"] > 85 and found["test_accuracy"] > 60 and given.rate == pytest.approx(0.3)


@pytest.mark.parametrize("method", ["itlm", "baseline", "centroid", "self_paced"])
def test_the_truth_and_the_test_images_never_reach_the_method(method):
    config = small(method=method)
    given = task(config)
    blind = given._replace(**dict.fromkeys(set(given._fields) - {"x", "y"}))
    for ours, theirs in zip(rounds(config, given), rounds(config, blind), strict=True):
        assert torch.equal(ours.kept, theirs.kept) and torch.equal(ours.losses, theirs.losses)


@pytest.mark.parametrize("bounded", [True, False])
def test_bounded_logits_lie_between_minus_one_and_one(bounded):
    network = cifar.make_network(Config(bounded=bounded).resolved(), task(small())).eval()
    with torch.no_grad():
        out = network(50 * torch.randn(8, 3, 32, 32))
    assert (out.abs().max() <= 1) == bounded


def test_a_baseline_tells_every_pass_how_clean_and_bad_samples_fare():
    config = small(method="baseline")
    rows = run(config).rows
    by_pass = {name: [value for t, key, value in rows if key == name and t] for name in PASS}
    assert all(len(values) == 4 for values in by_pass.values())
    assert by_pass["accuracy_clean"][-1] > by_pass["accuracy_bad"][-1] and by_pass["loss_auc"][-1] > 60
    (only,) = rounds(config, watch=True)
    assert isinstance(only, SingleRound) and [
        dict(zip(PASS, values, strict=True)) for values in zip(*by_pass.values(), strict=True)
    ] == list(only.history)
    assert cifar.watched(only.theta, task(config)) == {name: values[-1] for name, values in by_pass.items()}
    assert not any(key in PASS for t, key, _ in run(small()).rows if t)


@pytest.mark.parametrize("method", ["oracle", "centroid", "self_paced"])
def test_only_the_baseline_has_a_history(method):
    (only,) = rounds(small(method=method), watch=True)
    assert isinstance(only, SingleRound) and only.history == ()
    assert not any(isinstance(step, SingleRound) for step in rounds(small(), watch=True))


def test_without_bad_samples_there_is_no_bad_side():
    names = {key for t, key, _ in run(small(method="baseline", clean=1.0, epochs=1.0)).rows if t}
    assert names == {"accuracy_clean"}  # nor an AUC, which needs both


PASS = ("accuracy_clean", "accuracy_bad", "loss_auc")


def test_a_torn_file_of_the_run_costs_no_more_than_time(tmp_path, monkeypatch):
    config, file, save = small(), tmp_path / "run.pt", checkpoints.Checkpoint.save
    whole = run(config)

    def stopping(self, step):
        save(self, step)
        if str(self.path).endswith("fit2"):
            raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(checkpoints.Checkpoint, "save", stopping)
        run(config, checkpoint=file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.warns(UserWarning, match="run.pt cannot be read"):
        assert run(config, checkpoint=file).rows == whole.rows
    assert list(tmp_path.iterdir()) == []


class Stopped(Exception):
    pass


@pytest.mark.parametrize(("method", "warm", "stop_at"), [("itlm", False, 4), ("itlm", True, 4), ("baseline", False, 2)])
def test_a_run_that_was_stopped_in_the_middle_of_a_fit_goes_on_to_the_same_record(
    method, warm, stop_at, tmp_path, monkeypatch
):
    config, file, saves = small(method=method, warm=warm), tmp_path / "run.pt", []
    whole = run(config)
    save = checkpoints.Checkpoint.save

    def stopping(self, step):
        save(self, step)
        saves.append(step)
        if len(saves) == stop_at:  # in the last fit, after its first pass or so
            raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(checkpoints.Checkpoint, "save", stopping)
        run(config, checkpoint=file)
    assert f"run.pt.fit{2 * (method == 'itlm')}" in {path.name for path in tmp_path.iterdir()}
    resumed = run(config, checkpoint=file)
    assert resumed.rows == whole.rows and resumed.key == whole.key and list(tmp_path.iterdir()) == []


def test_the_same_seed_gives_the_same_record():
    first, again, other = (run(small(seed=seed)) for seed in (0, 0, 1))
    assert first.rows == again.rows != other.rows and first.key == again.key != other.key
    assert isinstance(first, Record) and first.provenance["status"] == "ok"


def test_a_bad_field_is_named():
    with pytest.raises(ValueError, match="early must be an integer in"):
        Config(early=0)
    with pytest.raises(ValueError, match="whiten must be True or False or None, got 1"):
        Config(whiten=1)


@pytest.mark.parametrize("change", [{"stem": 1}, {"normalisation": "none"}, {"whiten": True}])
@pytest.mark.parametrize("make", [Config, backdoor.Config])
def test_what_is_of_the_small_network_alone_is_refused_beside_the_wide_one(make, change):
    ((name, value),) = change.items()
    said = f"{name}={value!r} is for network='small', and the network is 'wide': leave {name} out"
    with pytest.raises(ValueError, match=said):
        make(network="wide", **change)
    assert getattr(make(scale="paper", network="small", **change).resolved(), name) == value


@pytest.mark.parametrize(
    ("make", "scale"),
    [(module.Config, scale) for module in (cifar, backdoor) for scale in module.SCALES],
)
def test_the_wide_network_may_have_any_scale(make, scale):
    config = make(scale=scale, network="wide").resolved()
    assert config.network == "wide" and config.resolved() == config


def test_an_estimated_fraction_is_that_of_every_round():
    config = Config(n=300, width=4, early=1, early_epochs=3.0, epochs=3.0, batch=20, clean=0.75, fraction="estimated")
    given = cifar.task(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a share that so small a network cannot tell
        fraction = label_noise.fraction_of(config.resolved(), cifar.settings(config.resolved(), given), given)
        steps = list(cifar.rounds(config, given))
    assert {step.alpha for step in steps} == {fraction} and 0 < fraction < 1
    assert cifar.measure(steps[0], given, config)["fraction"] == fraction

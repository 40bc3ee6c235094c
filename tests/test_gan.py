"""GANs from mixed data: the task, rounds, traces, faults."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from itlm import Round
from itlm.deep import gan as dcgan
from itlm.deep import images
from itlm.errors import Collapsed
from itlm.experiments import gan, gan_quality
from itlm.experiments.rounds import SingleRound

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = gan.Config(n=200, epochs=1, width=4, batch=20, rounds=2)


def history(config, given=None, **start):
    return list(gan.rounds(config, given, **start))


# the task


def test_the_mixture_is_what_was_asked_for_and_the_truth_is_beside_it():
    given = gan.task(replace(TINY, clean=0.7))
    assert given.x.shape == (200, 1, 28, 28) and -1 <= given.x.min() and given.x.max() <= 1
    assert given.is_bad.sum() == 60 and given.rate == 0.3 and given.notice == ""


def test_the_sets_digest_names_both():
    assert gan.digest(TINY) not in (images.digest("mnist5k"), images.digest("textures"))
    assert gan.digest(TINY) == gan.digest(replace(TINY, seed=5))


# rounds


def test_round_0_is_plain_training_and_each_update_trains_on_the_kept():
    given = gan.task(TINY)
    steps = history(TINY, given)
    assert [s.t for s in steps] == [0, 1, 2]
    again = gan.fit(TINY.resolved(), given.x, steps[0].kept, 1)
    for ours, theirs in zip(again.parameters(), steps[1].theta.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_alpha_one_is_plain_training_in_every_round():
    given = gan.task(TINY)
    steps = history(replace(TINY, alpha=1.0), given)
    plain = gan.fit(TINY.resolved(), given.x, None, 2)
    assert torch.equal(dcgan.sample_losses(plain, given.x, TINY.resolved().recipe()), steps[2].losses)


def test_the_truth_never_reaches_the_method():
    given = gan.task(TINY)
    blind = given._replace(is_bad=None)
    for ours, theirs in zip(history(TINY, given), history(TINY, blind), strict=True):
        assert torch.equal(ours.kept, theirs.kept)


def test_the_same_seed_gives_the_same_record_and_a_stopped_run_goes_on_to_it(tmp_path, monkeypatch):
    whole = gan.run(TINY)
    measure, calls = gan.measure, []

    def stopping(step, *rest):
        calls.append(step.t)
        if calls == [0, 1, 2]:
            raise KeyboardInterrupt
        return measure(step, *rest)

    monkeypatch.setattr(gan, "measure", stopping)
    with pytest.raises(KeyboardInterrupt):
        gan.run(TINY, checkpoint=tmp_path / "run.pt")
    record = gan.run(TINY, checkpoint=tmp_path / "run.pt")
    assert record.rows == whole.rows
    assert list(record.arrays) == list(whole.arrays) == ["round_0", "round_1"]
    assert all(np.array_equal(record.arrays[name], whole.arrays[name]) for name in whole.arrays)
    assert calls == [0, 1, 2, 2] and not list(tmp_path.iterdir())


@pytest.mark.parametrize("loss", dcgan.LOSSES)
def test_every_loss_has_its_rounds(loss):
    config = replace(TINY, loss=loss, rounds=0)
    (step,) = history(config)
    assert torch.isfinite(step.losses).all() and step.kept.sum() == 130
    assert config.resolved().normalisation == ("none" if loss == "wgan_gp" else "batch")


def test_the_judge_of_a_run_knows_its_pair_at_its_size():
    assert gan.judge(TINY.resolved()) is gan_quality.train_judge("mnist5k", "textures", 28)


@pytest.mark.parametrize("method", ["oracle", "mean", "pca", "autoencoder"])
def test_other_methods_have_one_round(method):
    given = gan.task(TINY)
    (step,) = history(replace(TINY, method=method), given)
    assert step.kept.sum() == (140 if method == "oracle" else 130)
    assert isinstance(step, SingleRound) and step.n_left == (60 if method == "oracle" else 70)
    if method == "oracle":
        assert (step.kept.numpy() == ~given.is_bad).all()


def test_a_trace_changes_nothing_and_says_what_each_pass_would_keep():
    found = gan.trace(replace(TINY, epochs=3, trace=True))
    assert [epoch for epoch, _ in found] == [1, 2, 3]
    assert {"auc_by_epoch", "precision_by_epoch", "real_clean", "real_bad", "auc_unseen"} <= set(found[0][1])


def test_the_passes_of_a_trace_are_counted_where_they_leave_much_of_the_images_out():
    found = gan.trace(replace(TINY, n=100, batch=64, epochs=6, trace=True))
    assert [epoch for epoch, _ in found] == list(range(1, 10))  # 9 steps, one a pass


def test_the_papers_scale_runs_with_less_data():
    config = gan.Config(scale="paper", pair="mnist5k-textures", n=256, epochs=1, rounds=1)
    assert config.resolved().width == 64 and config.resolved().batch == 128
    assert [step.t for step in gan.rounds(config)] == [0, 1]


# bad input


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pair": "mnist-cats"}, "pair must be one of 'mnist5k-textures'"),
        ({"loss": "wgan_gp", "normalisation": "batch"}, "wgan_gp needs normalisation='none'"),
        ({"normalisation": "none", "statistics": "running"}, "needs normalisation='batch', got 'none'"),
        ({"pair": "mnist-fashion_mnist", "statistics": "running"}, "needs normalisation='batch', got None, which is"),
        ({"scale": "cpu", "statistics": "batch"}, "got None, which is 'none' for pair='mnist-fashion_mnist'"),
        ({"loss": "wgan_gp", "statistics": "running"}, "needs batch norm, which loss='wgan_gp' cannot have: .* take"),
        ({"reinitialise": False, "score_at": 0.5}, "reinitialise=False needs score_at=1"),
        ({"trace": True, "method": "oracle"}, "trace=True needs method='itlm'"),
        ({"trace": True, "epochs": 0.5}, "trace=True needs epochs of at least 1, got 0.5"),
        ({"size": 40}, "size must be one of 28, 32, 64 or None, got 40"),
    ],
)
def test_settings_that_do_not_fit_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        gan.Config(**fields)


def test_alpha_too_small_for_a_batch_is_named():
    with pytest.raises(ValueError, match=r"alpha=0.05 keeps 10 of 200 images, fewer than a batch of 20: raise alpha"):
        history(replace(TINY, alpha=0.05))


def test_the_oracle_needs_a_batch_of_clean_images_and_does_not_ask_for_alpha():
    (step,) = history(replace(TINY, method="oracle", clean=0.1, alpha=0.05))
    assert step.kept.sum() == 20
    with pytest.raises(ValueError, match=r"clean=0.05 keeps 10 of 200 images, fewer than a batch of 20: raise clean"):
        history(replace(TINY, method="oracle", clean=0.05))


def test_epochs_without_a_step_are_named():
    with pytest.raises(ValueError, match=r"epochs=0.1 over n=200 samples do not fill a batch of 64: raise epochs"):
        history(replace(TINY, epochs=0.1, batch=64))


def test_a_collapsed_discriminator_is_said_to_rank_nothing():
    flat = torch.zeros(100)
    step = Round(3, None, flat, torch.arange(100) < 65, 0.65, 0.0, 0, 0)
    with pytest.raises(Collapsed, match="round 3: the discriminator gives 100 % of the 100 images the same loss"):
        gan._must_rank(step)

"""GANs from mixed data: networks, losses, rounds, scoring, faults."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from itlm.deep import images as data, networks, training
from itlm.experiments import gan, gan_quality as judging
from itlm.trimming import Round

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = gan.Config(n=200, epochs=1, width=4, batch=20, rounds=2)


def history(config, given=None, **start):
    return list(gan.rounds(config, given, **start))


# networks


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3)])
@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_images_and_verdicts_have_their_shapes(size, channels, normalisation):
    both = networks.GAN(size, channels, 4, normalisation)
    made = both(torch.randn(3, networks.LATENT))
    assert made.shape == (3, channels, size, size) and made.abs().max() <= 1
    assert both.discriminator(made).shape == (3,)
    norms = [layer for layer in both.discriminator if isinstance(layer, nn.BatchNorm2d)]
    assert bool(norms) == (normalisation == "batch")


def test_weights_begin_as_radford_has_them():
    weights = networks.initialised(lambda: networks.GAN(28, 1, 64), 0).discriminator[2].weight.detach()
    assert abs(float(weights.mean())) < 1e-3 and abs(float(weights.std()) - 0.02) < 1e-3


def test_a_size_without_stages_is_named():
    with pytest.raises(ValueError, match="size must be one of 28, 32, 64 pixels, got 30"):
        networks.Generator(30)


# losses


@pytest.mark.parametrize("name", gan.LOSSES)
def test_the_surrogate_is_low_where_an_image_looks_real_and_ranks_every_output(name):
    outputs = torch.linspace(-4, 4, 50, dtype=torch.float64)
    assert (gan.LOSSES[name].surrogate(outputs).diff() < 0).all()


def test_the_papers_loss_is_minus_log_d():
    outputs = torch.randn(20, dtype=torch.float64)
    D = outputs.sigmoid()
    loss = gan.LOSSES["dcgan"]
    assert torch.allclose(loss.real(outputs), -D.log()) and torch.allclose(loss.surrogate(outputs), -D.log())
    assert torch.allclose(loss.fake(outputs), -(1 - D).log()) and torch.allclose(loss.generator(outputs), -D.log())


@pytest.mark.parametrize("name", gan.LOSSES)
def test_every_loss_trains(name):
    theta = gan.fit(replace(TINY, loss=name), gan.task(TINY).x, None, 0)
    assert all(torch.isfinite(p).all() for p in theta.parameters())


# the task


def test_the_mixture_is_what_was_asked_for_and_the_truth_is_beside_it():
    given = gan.task(replace(TINY, clean=0.7))
    assert given.x.shape == (200, 1, 28, 28) and -1 <= given.x.min() and given.x.max() <= 1
    assert given.is_bad.sum() == 60 and given.rate == 0.3 and given.notice == ""


def test_the_sets_digest_names_both():
    assert gan.digest(TINY) not in (data.digest("mnist5k"), data.digest("textures"))
    assert gan.digest(TINY) == gan.digest(replace(TINY, seed=5))


# rounds


def test_round_0_is_plain_training_and_each_update_trains_on_the_kept():
    given = gan.task(TINY)
    steps = history(TINY, given)
    assert [s.t for s in steps] == [0, 1, 2]
    again = gan.fit(TINY, given.x, steps[0].kept, 1)
    for ours, theirs in zip(again.parameters(), steps[1].theta.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_alpha_one_is_plain_training_in_every_round():
    given = gan.task(TINY)
    steps = history(replace(TINY, alpha=1.0), given)
    plain = gan.fit(TINY, given.x, None, 2)
    assert torch.equal(gan.sample_losses(plain, given.x, TINY), steps[2].losses)


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


@pytest.mark.parametrize("method", ["oracle", "mean", "pca", "autoencoder"])
def test_other_methods_have_one_round(method):
    given = gan.task(TINY)
    (step,) = history(replace(TINY, method=method), given)
    assert step.kept.sum() == (140 if method == "oracle" else 130)
    if method == "oracle":
        assert (step.kept.numpy() == ~given.is_bad).all()


def test_a_trace_changes_nothing_and_says_what_each_pass_would_keep():
    found = gan.trace(replace(TINY, epochs=3, trace=True))
    assert [epoch for epoch, _ in found] == [1, 2, 3]
    assert {"auc_by_epoch", "precision_by_epoch", "real_clean", "real_bad", "auc_unseen"} <= set(found[0][1])


def test_the_passes_of_a_trace_are_counted_where_they_leave_much_of_the_images_out():
    found = gan.trace(replace(TINY, n=100, batch=64, epochs=6, trace=True))
    assert [epoch for epoch, _ in found] == list(range(1, 10))  # 9 steps, one a pass


def test_scoring_statistics_are_those_of_the_real_images():
    config = replace(TINY, normalisation="batch", statistics="real", score_at=1.0)
    given = gan.task(config)
    theta = gan.fit(config, given.x, None, 0)
    norm = next(layer for layer in theta.discriminator if isinstance(layer, nn.BatchNorm2d))
    seen = []
    norm.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    theta.discriminator(given.x[:200])
    assert torch.allclose(norm.running_mean, seen[0].mean((0, 2, 3)), atol=1e-3)


def test_the_papers_scale_runs_with_less_data():
    config = gan.Config(scale="paper", pair="mnist5k-textures", n=256, epochs=1, rounds=1)
    assert config.resolved().width == 64 and config.resolved().batch == 128
    assert [step.t for step in gan.rounds(config)] == [0, 1]


# what the images are worth


def test_the_judge_knows_the_sets_apart():
    assert gan.judge(TINY).accuracy > 95


@pytest.mark.parametrize(("looks", "classes"), [([3, 3], 0), ([0, 3], 1), ([0, 2], 2)])
def test_the_clean_classes_among_generated_images_are_counted(looks, classes):
    judge = judging.Judge(nn.Sequential(nn.Flatten(), nn.Identity()), 3, 100.0, np.eye(4))
    found = judging.worth(judge, torch.eye(4)[looks][:, None, None])
    assert found["classes_generated"] == pytest.approx(classes)


def test_the_frechet_distance_of_two_gaussians():
    random = np.random.default_rng(0)
    a, b = random.standard_normal((20000, 3)), 2 * random.standard_normal((20000, 3)) + [1, 0, 0]
    assert abs(judging.frechet(a, b) - (1 + 3)) < 0.15  # (2 - 1)^2 in each of three directions
    assert abs(judging.frechet(a, a)) < 1e-9


def test_latents_are_the_same_at_every_call():
    assert torch.equal(gan.latents(), gan.latents()) and gan.latents().shape == (32, 100)


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
    with pytest.raises(gan.Collapsed, match="round 3: the discriminator gives 100 % of the 100 images the same loss"):
        gan._must_rank(step)


def test_broken_images_diverge_and_the_pass_is_named():
    x = gan.task(TINY).x.clone()
    x[::2] = torch.nan
    with pytest.raises(training.Diverged, match="in pass 1 over the kept images"):
        gan.fit(TINY, x, None, 0)

"""Losses and margins recorded in somebody's training loop, and the report of suspects."""

import os
import signal
import subprocess
import sys
import tempfile
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

from itlm.audit import compare, plant, systematic
from itlm.audit.recorder import Count, Recorder
from itlm.errors import Damaged, Refused
from itlm.trimming import trim

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"


def outputs(seed, n=40, n_classes=5, scale=3.0):
    """Logits and labels of n samples."""
    random = np.random.default_rng(seed)
    return (scale * random.normal(size=(n, n_classes))).astype(np.float32), random.integers(n_classes, size=n)


def recorded(folder, n_epochs=3, n=40, order=None, **options):
    """Record some epochs in batches of 7, and return recorder, logits of all epochs, and labels."""
    y = outputs(0, n)[1]
    logits = np.array([outputs(epoch, n)[0] for epoch in range(n_epochs)])
    recorder = Recorder(n, folder, y, **options)
    for epoch in range(recorder.epoch, n_epochs):
        random = np.random.default_rng(epoch)
        ids = random.permutation(n) if order is None else order
        for batch in np.array_split(ids, -(-n // 7)):
            recorder.log(batch, logits[epoch, batch])
        recorder.end_epoch()
    return recorder, logits, y


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def margin(logits, y):
    """AUM's margin, by its definition."""
    return np.array([z[label] - max(np.delete(z, label)) for z, label in zip(logits, y, strict=True)])


# What is recorded


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.sampled_from([0.1, 3.0, 100.0]))
def test_losses_and_margins_equal_their_definitions(seed, n_classes, scale):
    logits, y = outputs(seed, 30, n_classes, scale)
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(30, folder)
        recorder.log(np.arange(30), logits, y)
        recorder.end_epoch()
        exact = -log_softmax(logits.astype(float), axis=1)[np.arange(30), y]
        np.testing.assert_allclose(recorder.loss_at(0), exact, rtol=1e-4, atol=1e-12)
        np.testing.assert_array_equal(recorder.margins[0], margin(logits, y))
        np.testing.assert_array_equal(recorder.report(1.0).suggested, logits.argmax(axis=1))


def test_a_single_logit_is_that_of_class_1(tmp_path):
    logits, y = outputs(0, 30, 1)[0], np.arange(30) % 2
    recorder = Recorder(30, tmp_path, y)
    recorder.log(np.arange(30), logits)
    recorder.end_epoch()
    np.testing.assert_allclose(recorder.loss_at(0), np.log1p(np.exp(np.where(y, -logits[:, 0], logits[:, 0]))), 1e-5)
    np.testing.assert_array_equal(recorder.margins[0], np.where(y, logits[:, 0], -logits[:, 0]))


def test_means_are_over_the_epochs_that_have_the_sample(tmp_path):
    recorder, logits, y = recorded(tmp_path)
    each = np.array([margin(one, y) for one in logits])
    np.testing.assert_allclose(recorder.mean_margin(), each.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(recorder.mean_margin(epoch=1), each[:2].mean(axis=0), rtol=1e-6)
    recorder.log([3, 8], losses=[5.0, 6.0])
    recorder.end_epoch()
    assert recorder.losses.shape == recorder.margins.shape == (4, 40) and recorder.losses.dtype == np.float32
    np.testing.assert_allclose(recorder.mean_loss(), np.nanmean(recorder.losses, axis=0), rtol=1e-6)
    np.testing.assert_allclose(recorder.mean_margin(), each.mean(axis=0), rtol=1e-6)


@settings(deadline=None)
@given(st.permutations(range(40)), st.sets(st.integers(0, 39)), st.lists(st.integers(0, 39), max_size=20))
def test_order_does_not_count_and_repeated_and_missing_samples_do(order, absent, again):
    logits, y = outputs(1)
    ids = [i for i in order if i not in absent] or order[:1]
    again = [i for i in again if i in ids]
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(40, folder, y)
        for batch in np.array_split(np.array(ids + again), 4):
            recorder.log(batch, logits[batch])
        recorder.end_epoch()
        expected = np.full(40, np.nan)
        expected[ids] = -log_softmax(logits, axis=1)[ids, y[ids]]
        np.testing.assert_allclose(recorder.loss_at(0), expected, rtol=1e-5, atol=1e-6)
        assert recorder.counts() == [Count(0, len(ids), 40 - len(ids), len(again))]


def test_the_first_of_repeated_values_counts_within_a_batch_and_later(tmp_path):
    recorder = Recorder(3, tmp_path)
    recorder.log([1, 1, 0], losses=[1.0, 9.0, 2.0])
    recorder.log([0, 2, 2], losses=[9.0, 3.0, 9.0])
    recorder.end_epoch()
    assert recorder.loss_at(0).tolist() == [2, 1, 3] and recorder.counts() == [Count(0, 3, 0, 3)]


def test_tensors_are_copied_without_their_graph_and_stay_as_they_are(tmp_path):
    torch = pytest.importorskip("torch")
    logits, y = outputs(2)
    for name, dtype in (("a", torch.float32), ("b", torch.bfloat16), ("c", torch.float64)):
        given = torch.tensor(logits, dtype=dtype, requires_grad=True)
        before, recorder = given.detach().clone(), Recorder(40, tmp_path / name)
        recorder.log(torch.arange(40), given, torch.tensor(y))
        recorder.end_epoch()
        assert torch.equal(given, before)
        exact = torch.nn.functional.cross_entropy(before.float(), torch.tensor(y), reduction="none")
        np.testing.assert_allclose(recorder.loss_at(0), exact, rtol=1e-5, atol=1e-6)


def test_a_sample_takes_8_bytes_an_epoch_on_disk_and_20_in_memory(tmp_path):
    n, ids = 100_000, np.arange(100_000)
    tracemalloc.start()
    recorder, held = Recorder(n, tmp_path, ids % 10), []
    for _ in range(4):
        for batch in np.array_split(ids, 10):
            recorder.log(batch, np.ones((len(batch), 10), np.float32))
        recorder.end_epoch()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(held) < 20 * n + 100_000 and held[-1] < held[0] + 10_000
    sizes = {name: len(content) for name, content in contents(tmp_path).items()}
    assert sizes.pop("classes-rank-0.npy") < 12 * n + 500
    assert len(sizes) == 4 and max(sizes.values()) < 8 * n + 500
    np.testing.assert_array_equal(np.load(tmp_path / "epoch-0003-rank-0-of-1.npy", mmap_mode="r")[1], np.zeros(n))


# Killed, resumed, and several processes


def child(folder, dies, n_epochs=4):
    """Record; die at a call of the disk with this number, from 1. Without torch."""
    calls = 0

    def counted(call, *arguments):
        nonlocal calls
        calls += 1
        if calls == int(dies):
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments)

    os.fsync, os.replace = partial(counted, os.fsync), partial(counted, os.replace)
    recorder, _, _ = recorded(folder, n_epochs, 2000)
    recorder.report(0.8)
    assert "torch" not in sys.modules


def start(folder, dies=0):
    code = "import sys, test_recorder; test_recorder.child(*sys.argv[1:])"
    command = [sys.executable, "-W", "error", "-c", code, str(folder), str(dies)]
    return subprocess.Popen(command, cwd=HERE, env={**os.environ, "PYTHONPATH": str(HERE.parent)})


def test_a_killed_run_loses_at_most_one_epoch_and_ends_with_the_same_files(tmp_path):
    recorded(tmp_path / "whole", 4, 2000)
    whole, folder = contents(tmp_path / "whole"), tmp_path / "killed"
    for dies in np.random.default_rng().integers(1, 9, 3).tolist():  # 4 calls an epoch: at most two epochs a run
        before = len(Recorder(2000, folder).epochs)
        process = start(folder, dies)
        assert process.wait(120) in (-signal.SIGKILL, 0), dies
        done = Recorder(2000, folder).epochs
        assert done == list(range(min(before + (dies - 1) // 4, 4))), dies
        assert all(whole[name] == content for name, content in contents(folder).items() if "epoch" in name[:5])
    process = start(folder)
    assert process.wait(120) == 0
    assert contents(folder) == whole


def test_a_folder_opened_again_continues_after_the_last_epoch_or_replaces_some(tmp_path):
    _, logits, y = recorded(tmp_path / "whole", 5)
    first, _, _ = recorded(tmp_path / "parts", 3)
    first.log([0], logits[0, :1])  # of an epoch that never ends
    again, _, _ = recorded(tmp_path / "parts", 5)
    assert again.epoch == 5 and again.epochs == [0, 1, 2, 3, 4]
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    back = Recorder(40, tmp_path / "parts", y, epoch=2)  # the checkpoint is older than the record
    assert back.epoch == 2 and back.epochs == [0, 1, 2, 3, 4]
    back.log(np.arange(40), logits[4])
    back.end_epoch()
    assert back.epochs == [0, 1, 2]
    np.testing.assert_array_equal(back.loss_at(2), Recorder(40, tmp_path / "whole").loss_at(4))
    assert Recorder(40, tmp_path / "parts", epoch=9).epoch == 3


def test_two_ranks_equal_one_and_the_lowest_rank_counts(tmp_path):
    one, logits, y = recorded(tmp_path / "one")
    two = [Recorder(40, tmp_path / "two", rank=rank, ranks=2) for rank in range(2)]
    for epoch in range(3):
        ids = np.random.default_rng(epoch).permutation(40)
        for rank, recorder in enumerate(two):  # padded: each has one sample of the other
            mine = np.r_[ids[rank::2], ids[1 - rank]]
            recorder.log(mine, logits[epoch, mine] + rank * (mine == ids[0])[:, None] * np.arange(5), y[mine])
            assert recorder.epochs == list(range(epoch))
            recorder.end_epoch()
    np.testing.assert_array_equal(two[0].losses, one.losses)
    np.testing.assert_array_equal(two[1].margins, one.margins)
    assert two[0].counts() == [Count(epoch, 40, 0, 2) for epoch in range(3)]
    sizes = [len(content) for name, content in contents(tmp_path / "two").items() if name.startswith("epoch")]
    assert len(sizes) == 6 and max(sizes) < 21 * 8 + 5 + 500
    reports = [recorder.report(0.8).to_frame() for recorder in (one, two[0])]
    assert reports[0].equals(reports[1])
    fewer = Recorder(40, tmp_path / "two", y, epoch=2)  # resumed by one process
    fewer.log(np.arange(40), logits[2])
    fewer.end_epoch()
    np.testing.assert_array_equal(fewer.losses, one.losses)
    assert len(contents(tmp_path / "two")) == 2 + 4 + 1


def test_processes_that_share_a_rank_are_refused(tmp_path):
    logits, y = outputs(0)
    two = [Recorder(40, tmp_path, y) for _ in range(2)]
    for recorder in two:
        recorder.log(np.arange(40), logits)
    two[0].end_epoch()
    with pytest.raises(Refused, match=r"epoch-0000-rank-0-of-1.npy is from another process: give each process its ra"):
        two[1].end_epoch()


# Faults


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([40], [[1.0, 2]]), {}, r"ids must be in 0 to 39, got 40: ids are positions in the data set"),
        (([-1], [[1.0, 2]]), {}, r"ids must be in 0 to 39, got -1"),
        (([True], [[1.0, 2]]), {}, r"ids must be integers, one-dimensional, got bool of shape \(1,\)"),
        (([0.0], [[1.0, 2]]), {}, r"ids must be integers"),
        (([0],), {}, r"logits and losses are both None: give one of them"),
        (([0, 1], [[1.0, 2]], [0, 1]), {}, r"logits must have shape \(2, n_classes\) for 2 ids, got \(1, 2\)"),
        (([0, 1], [1.0, 2], [0, 1]), {}, r"got \(2,\): give a single logit as logits\[:, None\], and the loss of each"),
        (([0, 1], [[1.0, 2]] * 2, [0]), {}, r"labels must be integers, of shape \(2,\), got int64 of shape \(1,\)"),
        (([0, 1], [[1.0, 2]] * 2, [0, 0.5]), {}, r"labels must be integers, of shape \(2,\), got float64"),
        (([0, 1], [[1.0, 2]] * 2, [0, -100]), {}, r"labels must be in 0 to 2147483647, got -100"),
        (([5, 1], [[1.0, 2]] * 2, [0, 2]), {}, r"labels must be columns of logits, 0 to 1, got 2 for sample 1"),
        (([5, 1], [[1.0, 2]] * 2), {}, r"labels lacks sample 5: give labels to log or to Recorder"),
        (([5, 7], [[1.0, 2]] * 2, [0, 0]), {}, r"labels has class 0 for sample 7, which had class 1: give the labels"),
        (([0, 1],), {"losses": 0.5}, r"losses must have shape \(2,\), one for each id, got \(\): PyTorch's losses n"),
        (([0, 1],), {"losses": [1.0] * 3}, r"losses must have shape \(2,\), one for each id, got \(3,\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_and_nothing_of_the_batch_is_recorded(tmp_path, arguments, options, message):
    recorder = Recorder(40, tmp_path)
    recorder.log([7], [[0.0, 1.0]], [1])
    with pytest.raises(ValueError, match=message):
        recorder.log(*arguments, **options)
    recorder.end_epoch()
    assert recorder.counts() == [Count(0, 1, 39, 0)]


def test_a_nan_loss_names_sample_and_epoch_and_the_rest_of_the_epoch_is_recorded(tmp_path):
    recorder, logits, _ = recorded(tmp_path, 2)
    logits[0, 6, 2] = np.nan
    with pytest.raises(ValueError, match="logits gives a NaN loss to 1 of 9 samples in epoch 2, the first is sample 6"):
        recorder.log(np.arange(9), logits[0, :9])
    with pytest.raises(ValueError, match="losses gives a NaN loss to 1 of 2 samples in epoch 2, the first is sample 9"):
        recorder.log([9, 10], losses=[np.nan, 1.0])
    recorder.log([6, 9, 11], losses=[1.0, 2.0, np.inf])
    recorder.end_epoch()
    assert recorder.counts()[2] == Count(2, 12, 28, 0) and recorder.loss_at(2)[[6, 9, 11]].tolist() == [1, 2, np.inf]


def test_calls_out_of_turn_are_named(tmp_path):
    recorder = Recorder(40, tmp_path)
    with pytest.raises(ValueError, match="end_epoch without any log in epoch 0: call log once a batch"):
        recorder.end_epoch()
    recorder.log([0, 3], losses=[1.0, 2.0])
    for call in (lambda: recorder.report(0.8), recorder.mean_loss, recorder.counts):
        with pytest.raises(ValueError, match="has 0 complete epochs, and at least 1 is needed: call end_epoch first"):
            call()
    recorder.end_epoch()
    with pytest.raises(
        ValueError, match="alpha is None, and nothing is planted: give the fraction .* itlm.audit.plant"
    ):
        recorder.report()
    with pytest.raises(ValueError, match="epoch must be recorded, in 0 to 0, got 1: see epochs"):
        recorder.report(0.8, epoch=1)
    with pytest.raises(ValueError, match="score='margin' needs margins, and none are recorded: give logits to log"):
        recorder.report(0.8, score="margin")
    with pytest.raises(ValueError, match="score must be one of 'margin', 'loss', 'last_loss', got 'margins'"):
        recorder.report(0.8, score="margins")
    with pytest.raises(ValueError, match="losses has 1 samples and planted 1: a bound at level 0.95 needs at least"):
        recorder.report(planted=[3])
    recorder.close()
    with pytest.raises(ValueError, match="log after close: open the folder with a new Recorder to continue"):
        recorder.log([0], losses=[1.0])
    with pytest.raises(ValueError, match="end_epoch without any log in epoch 1"):
        recorder.end_epoch()
    assert recorder.epochs == [0]
    for wrong in ({"rank": 2, "ranks": 2}, {"ranks": 0}, {"epoch": -1}, {"labels": [0]}, {"labels": np.zeros(40)}):
        with pytest.raises(ValueError, match=rf"^{'|'.join(wrong)} must be"):
            Recorder(40, tmp_path, **wrong)


def test_another_runs_folder_is_refused(tmp_path):
    _, _, y = recorded(tmp_path)
    with pytest.raises(Refused, match=f"{tmp_path}/classes-rank-0.npy is of a run with n=40, and this one has n=41"):
        Recorder(41, tmp_path)
    other = np.where(np.isin(np.arange(40), [5, 9]), y + 1, y)
    with pytest.raises(Refused, match="classes-rank-0.npy has other labels for 2 of 40 samples, the first is sample 5"):
        Recorder(40, tmp_path, other)
    (tmp_path / "classes-rank-0.npy").unlink()
    with pytest.raises(Refused, match=f"{tmp_path}/epoch-0002-rank-0-of-1.npy is of a run with n=40.* another folder"):
        Recorder(41, tmp_path)


@pytest.mark.parametrize("name", ["epoch-0001-rank-0-of-1.npy", "epoch-0002-rank-0-of-1.npy", "classes-rank-0.npy"])
@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:9] + b"?" + b[10:], lambda b: b"", lambda b: b * 2])
def test_a_damaged_file_is_named_and_can_be_removed(tmp_path, name, damage):
    recorder, _, y = recorded(tmp_path)
    path = tmp_path / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Damaged, match=f"{path} is damaged: remove it"):
        Recorder(40, tmp_path).report(0.8)
    path.unlink()
    again = Recorder(40, tmp_path, y)
    assert again.epochs == [epoch for epoch in range(3) if f"epoch-{epoch:04d}" not in name]
    assert len(again.report(0.8).kept) == len(again.epochs) + 1


# The report


def test_each_round_trims_an_epoch_and_the_last_one_the_score(tmp_path):
    recorder, _, y = recorded(tmp_path)
    scores = {"loss": recorder.mean_loss(), "last_loss": recorder.loss_at(2), "margin": -recorder.mean_margin()}
    for score, values in scores.items():
        report = recorder.report(0.7, score=score, ids=[f"image {i}" for i in range(40)])
        for epoch, kept in enumerate(report.kept[:3]):
            np.testing.assert_array_equal(kept, trim(recorder.loss_at(epoch), 0.7, groups=y))
        np.testing.assert_array_equal(report.kept[3], trim(values, 0.7, groups=y))
        np.testing.assert_array_equal(report.order, np.argsort(-values, kind="stable"))
        assert (report.losses > 0).all() and report.ids[3] == "image 3" and report.scores["epochs"].tolist() == [3] * 40
        np.testing.assert_array_equal(report.given, y)
    np.testing.assert_array_equal(recorder.report(0.7).losses, report.losses)  # the margin is the default
    early = recorder.report(0.7, epoch=0, score="loss")
    np.testing.assert_allclose(early.losses, recorder.loss_at(0))
    assert len(early.kept) == 2


def test_samples_never_seen_are_kept_and_named_and_counts_are_reported(tmp_path):
    recorder = Recorder(40, tmp_path)
    for epoch in range(2):
        recorder.log(np.r_[0:30, 0], losses=np.r_[0.0:30, 0])
        recorder.log([30 + epoch], losses=[40.0])
        recorder.end_epoch()
    report = recorder.report(0.5)
    alarms = {one.kind: one for one in report.alarms}
    assert alarms["unseen"].text.startswith("8 samples were never recorded. They are kept, with the median score")
    assert alarms["unseen"].rows == tuple(range(32, 40)) and report.kept[:, 32:].all()
    assert set(report.losses[32:]) == {np.median(recorder.mean_loss()[:32])}
    assert np.isnan(report.scores["mean_loss"][32:]).all() and (report.scores["epochs"][32:] == 0).all()
    assert alarms["missing"].text.startswith("2 of 2 epochs lack samples, at most 9 each.")
    assert alarms["repeated"].text.startswith("2 of 2 epochs have repeated samples, at most 1 each.")
    assert report.kept.sum(axis=1).tolist() == [15 + 9, 15 + 9, 16 + 8] and "mean_margin" not in report.scores
    report.to_json(tmp_path / "report.json")
    report.to_csv(tmp_path / "report.csv")


def trained(folder, y, seed, n_epochs=15):
    """Record a small network on the digits, with shuffled batches and random noise as augmentation."""
    torch = pytest.importorskip("torch")
    X, y = torch.tensor(load_digits().data / 16).float(), torch.tensor(y)
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    optimizer, recorder = torch.optim.Adam(network.parameters(), lr=3e-3), Recorder(len(y), folder, y)
    for _ in range(n_epochs):
        for ids in torch.randperm(len(y)).split(64):
            logits = network(X[ids] + 0.1 * torch.randn(len(ids), 64))
            loss = torch.nn.functional.cross_entropy(logits, y[ids])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.log(ids, logits, y[ids])
        recorder.end_epoch()
    return recorder


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("share", [0.0, 0.1, 0.25])
def test_planted_labels_bound_the_share_of_wrong_ones(tmp_path, share):
    X, truth = load_digits(return_X_y=True)
    y = plant(X, truth, "uniform", round(share * len(X)), random_state=3).y if share else truth
    planted = plant(X, y, "uniform", 150, random_state=4)
    recorder, others = trained(tmp_path, planted.y, 5), np.ones(len(X), bool)
    others[planted.ids] = False
    report, wrong = recorder.report(planted=planted.ids), (y != truth)
    assert abs(report.share.estimate - wrong[others].mean()) < 0.03
    assert wrong[others].mean() <= report.share.upper < wrong[others].mean() + 0.08
    everything = recorder.report(0.5).losses
    assert report.share.upper == compare(everything[others], everything[~others]).upper
    assert np.array_equal(report.ids, np.flatnonzero(others)) and report.kept.shape[1] == others.sum()
    assert report.kept[-1].sum() == int((1 - report.share.upper) * others.sum())
    assert wrong[report.ids[report.kept[-1]]].mean() < 0.2 * share + 0.01
    assert set(report.summary()["found"]) == {"planted"}
    assert recorder.report(0.5, planted=planted.ids).kept[-1].sum() == others.sum() // 2
    report.to_csv(tmp_path / "report.csv")


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", ["uniform", systematic(10)])
def test_the_margin_ranks_wrong_labels_best(tmp_path, kind):
    X, truth = load_digits(return_X_y=True)
    y = plant(X, truth, kind, len(X) // 5, random_state=6).y
    recorder = trained(tmp_path, y, 7)
    found = {score: average_precision_score(y != truth, recorder.report(0.8, score=score).losses)
             for score in ("margin", "loss", "last_loss")}  # fmt: skip
    assert found["margin"] == max(found.values()) and found["margin"] > (0.98 if kind == "uniform" else 0.85)


# Examples


def run(script, folder, *arguments):
    """Run an example, or a script that imports one, in a folder; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{EXAMPLES}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, EXAMPLES / script, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_plain_loop_runs(tmp_path):
    pytest.importorskip("torch")
    printed = run("recorder_loop.py", tmp_path)
    assert "1,697 samples" in printed and "suspects, 9" in printed and (tmp_path / "report.html").stat().st_size > 10**4


RESUMED = """
from recorder_lightning import *
data = TensorDataset(torch.arange(90), torch.rand(90, 64), torch.arange(90) % 10)
def fit(n_epochs, **options):
    callback = RecorderCallback(90, "losses")
    trainer = lightning.Trainer(max_epochs=n_epochs, accelerator="cpu", callbacks=[callback], logger=False,
                                enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(Classifier(), DataLoader(data, batch_size=20, shuffle=True), **options)
    return trainer, callback.recorder
trainer, recorder = fit(2)
trainer.save_checkpoint("checkpoint")
assert fit(3, ckpt_path="checkpoint")[1].epochs == [0, 1, 2]
old = recorder.losses
recorder = fit(4, ckpt_path="checkpoint")[1]  # one epoch older than the record
assert recorder.epochs == [0, 1, 2, 3] and [one.seen for one in recorder.counts()] == [90] * 4
assert ((recorder.losses[:3] == old).all(axis=1) == [True, True, False]).all()
"""


def test_the_lightning_callback_runs_and_resumes(tmp_path):
    pytest.importorskip("lightning", reason="lightning is not installed")
    assert "dropped samples, 9" in run("recorder_lightning.py", tmp_path)
    (tmp_path / "resumed.py").write_text(RESUMED)
    run(tmp_path / "resumed.py", tmp_path)

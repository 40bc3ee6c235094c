"""What was killed goes on: a fit after its last pass, a run after its last round, and files of others are refused."""

import os
import signal
import subprocess
import sys
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch
from test_training import LITTLE, Counted, N, made_up, same, some, trained
from torch import nn

from itlm import iterate
from itlm.deep.checkpoints import resumable, write
from itlm.deep.networks import LeNet, initialised
from itlm.deep.training import Schedule, fit
from itlm.errors import Diverged, Refused
from itlm.records.record import Record
from itlm.rivals.labels import GeneralizedCrossEntropy

pytestmark = pytest.mark.usefixtures("one_thread")

HERE = Path(__file__).parent


class Stopped(Exception):
    pass


def stop(value):
    raise Stopped


# fits

FIVE_PASSES = Schedule(steps=30, batch=20, lr=0.05, momentum=0.9, augment="shift", shape="one_cycle")


def kept_120():
    return torch.arange(N) % 5 < 3  # 6 steps a pass


def child_that_is_killed(checkpoint, at):
    die = Counted(at, lambda value: os.kill(os.getpid(), signal.SIGKILL))
    trained(LITTLE, *made_up(), kept_120(), FIVE_PASSES, seed=7, checkpoint=checkpoint, loss=die)


def test_a_fit_that_was_killed_ends_at_the_same_weights(tmp_path):
    file = tmp_path / "fit.pt"
    code = f"import test_checkpoints; test_checkpoints.child_that_is_killed({str(file)!r}, 16)"  # in the third pass
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", code]
    killed = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert file.exists()
    went_on = Counted(0, None)
    resumed = trained(LITTLE, *made_up(), kept_120(), FIVE_PASSES, seed=7, checkpoint=file, loss=went_on)
    assert went_on.calls == 30 - 12
    assert same(resumed, trained(LITTLE, *made_up(), kept_120(), FIVE_PASSES, seed=7))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stops", [[1], [6], [7], [30], [9, 9, 9, 9]])
def test_wherever_a_fit_is_stopped_it_ends_at_the_same_weights(tmp_path, stops):
    file, arguments = tmp_path / "fit.pt", (LITTLE, *made_up(), kept_120(), FIVE_PASSES)
    for at in stops:
        with pytest.raises(Stopped):
            trained(*arguments, seed=7, checkpoint=file, loss=Counted(at, stop))
    assert same(trained(*arguments, seed=7, checkpoint=file), trained(*arguments, seed=7))
    assert not file.exists()


def stopped(file, x, y, kept, schedule=FIVE_PASSES, **changes):
    with pytest.raises(Stopped):
        trained(LITTLE, x, y, kept, schedule, **{"seed": 7, "loss": Counted(16, stop)} | changes, checkpoint=file)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"schedule": Schedule(steps=31, batch=20)},
        {"kept": some()},
        {"kept": None},
        {"y": made_up(seed=1)[1]},
        {"x": made_up(seed=1)[0]},
        {"make_network": partial(LITTLE, activation="relu")},
        {"make_network": LeNet},
        {"make_network": lambda: initialised(LITTLE, 1)},  # the weights that a warm start may have
        {"loss": GeneralizedCrossEntropy()},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_checkpoint_of_another_fit_is_refused(tmp_path, change):
    x, y = made_up()
    ours = {"make_network": LITTLE, "x": x, "y": y, "kept": kept_120(), "schedule": FIVE_PASSES, "seed": 7}
    stopped(tmp_path / "fit.pt", x, y, kept_120())
    before = (tmp_path / "fit.pt").read_bytes()
    with pytest.raises(Refused, match="checkpoint .*fit.pt is of another fit .*Remove the file or choose another"):
        trained(**ours | change, checkpoint=tmp_path / "fit.pt")
    assert (tmp_path / "fit.pt").read_bytes() == before


def test_the_folder_of_a_checkpoint_is_made_before_anything_is_computed(tmp_path):
    fits, runs = tmp_path / "of" / "fits", tmp_path / "of" / "runs"
    with pytest.raises(Stopped):
        trained(LITTLE, *made_up(), None, FIVE_PASSES, seed=7, checkpoint=fits / "fit.pt", loss=Counted(1, stop))
    with pytest.raises(Stopped):
        follow(experiment([]), an_empty_record(), runs / "run.pt", stop_at=0)
    assert fits.is_dir() and runs.is_dir()


def test_a_disk_that_refuses_names_the_file_and_keeps_nothing_half_written(tmp_path):
    (file := tmp_path / "fit.pt").mkdir()
    with pytest.raises(OSError, match=f": '{file}'$"):
        write(file, {})
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("device", ["cuda", "cuda in float16"])
def test_a_checkpoint_from_another_device_is_warned_about_and_the_fit_begins_anew(tmp_path, device):
    file, arguments = tmp_path / "fit.pt", (LITTLE, *made_up(), kept_120(), FIVE_PASSES)
    stopped(file, *arguments[1:4])
    saved = torch.load(file, weights_only=True)
    torch.save(
        saved | {"device": device, "identity": "kept otherwise", "generator": torch.zeros(16, dtype=torch.uint8)}, file
    )
    with pytest.warns(UserWarning, match=f"saved on {device}, this fit is on cpu: it is ignored, and"):
        network = trained(*arguments, seed=7, checkpoint=file, loss=(count := Counted(0, None)))
    assert count.calls == 30 and same(network, trained(*arguments, seed=7)) and not file.exists()


def test_a_checkpoint_that_does_not_say_its_device_is_from_a_cpu(tmp_path):
    file, arguments = tmp_path / "fit.pt", (LITTLE, *made_up(), kept_120(), FIVE_PASSES)
    stopped(file, *arguments[1:4])
    saved = torch.load(file, weights_only=True)
    assert saved.pop("device") == "cpu"
    torch.save(saved, file)
    assert same(
        trained(*arguments, seed=7, checkpoint=file, loss=(count := Counted(0, None))), trained(*arguments, seed=7)
    )
    assert count.calls == 30 - 12


def test_the_checkpoint_of_a_run_is_refused_by_a_fit(tmp_path):
    torch.save({"key": "0123", "t": 1, "theta": {}, "rows": []}, tmp_path / "run.pt")
    with pytest.raises(Refused, match="is of another fit"):
        trained(LITTLE, *made_up(), None, FIVE_PASSES, seed=0, checkpoint=tmp_path / "run.pt")


TEARS = {
    "half": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "text": lambda whole: b"<html>Please log in</html>",
}


@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_checkpoint_is_warned_about_and_ignored(tmp_path, tear):
    file, arguments = tmp_path / "fit.pt", made_up()
    stopped(file, *arguments, kept_120())
    file.write_bytes(TEARS[tear](file.read_bytes()))
    count = Counted(0, None)
    with pytest.warns(UserWarning, match="checkpoint .*fit.pt cannot be read and is ignored"):
        network = trained(LITTLE, *arguments, kept_120(), FIVE_PASSES, seed=7, checkpoint=file, loss=count)
    assert count.calls == 30 and not file.exists()
    assert same(network, trained(LITTLE, *arguments, kept_120(), FIVE_PASSES, seed=7))


@pytest.mark.parametrize("at", [1, 6, 7, 16, 30])
def test_what_was_seen_before_a_fit_was_stopped_is_in_its_history_too(tmp_path, at):
    def watch(network, step):
        assert not network.training
        return {"step": step, "seen": [network[0].weight.abs().sum().item(), "as text"]}

    file, arguments = tmp_path / "fit.pt", (LITTLE, *made_up(), kept_120(), FIVE_PASSES)
    with pytest.raises(Stopped):
        fit(*arguments, seed=7, watch=watch, checkpoint=file, loss=Counted(at, stop))
    whole = fit(*arguments, seed=7, watch=watch)
    resumed = fit(*arguments, seed=7, watch=watch, checkpoint=file)
    assert resumed.history == whole.history and same(resumed.network, whole.network)
    assert [seen["step"] for seen in whole.history] == [6, 12, 18, 24, 30]


def test_a_fit_that_diverged_has_not_saved_what_it_diverged_to(tmp_path):
    file, arguments = tmp_path / "fit.pt", (LITTLE, *made_up(), kept_120(), FIVE_PASSES)
    with pytest.raises(Diverged, match="in epoch 3"):
        trained(*arguments, seed=7, checkpoint=file, loss=Counted(16, lambda value: value * torch.nan))
    assert same(trained(*arguments, seed=7, checkpoint=file), trained(*arguments, seed=7))


# runs


def experiment(log):
    """Rounds whose network counts its updates."""

    def losses(network):
        return torch.cos(torch.arange(10.0) * (network.weight.item() + 1))

    def update(network, kept, t):
        log.append(t)
        return of_weight(network.weight.item() + 1)

    def rounds(*, start=0, theta=None):
        return iterate(losses, update, of_weight(0.0) if theta is None else theta, 0.5, 5, start=start)

    return rounds


def of_weight(value):
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


def an_empty_record(key="abc"):
    return Record("toy", key, {}, {})


def follow(rounds, record, checkpoint, stop_at=None):
    for step in resumable(rounds, lambda: nn.Linear(1, 1, bias=False), record, checkpoint):
        if step.t == stop_at:
            raise Stopped
        record.add(step.t, {"objective": step.objective, "n_left": step.n_left, "weight": step.theta.weight.item()})
    return record.rows


@pytest.mark.parametrize("at", range(6))
def test_a_run_goes_on_after_its_last_finished_round(tmp_path, at):
    whole = follow(experiment([]), an_empty_record(), None)
    assert len(whole) == 18
    log, file = [], tmp_path / "run.pt"
    with pytest.raises(Stopped):
        follow(experiment(log), an_empty_record(), file, stop_at=at)
    assert file.exists() == (at > 0)
    assert follow(experiment(log), an_empty_record(), file) == whole
    assert log == [*range(at), *range(max(0, at - 1), 5)]  # only the update whose round was not finished is run again
    assert list(tmp_path.iterdir()) == []


def test_the_seconds_of_a_run_count_what_was_done_before_it_was_killed(tmp_path):
    record, again = an_empty_record(), an_empty_record()
    record.began -= 100  # as if it had begun then
    with pytest.raises(Stopped):
        follow(experiment([]), record, tmp_path / "run.pt", stop_at=2)
    follow(experiment([]), again, tmp_path / "run.pt")
    assert 100 <= again.finish().provenance["seconds"] < 110


def test_a_run_that_was_stopped_after_its_last_round_has_nothing_left_to_do(tmp_path):
    log, file, record = [], tmp_path / "run.pt", an_empty_record()
    steps = resumable(experiment(log), lambda: nn.Linear(1, 1, bias=False), record, file)
    for step in islice(steps, 6):
        record.add(step.t, {"objective": step.objective})
    saved = file.read_bytes()
    assert list(steps) == [] and not file.exists()
    file.write_bytes(saved)
    assert len(follow(experiment(log), an_empty_record(), file)) == 5 + 3  # the last round was not yet in the file
    assert log == [*range(5), 4]


def test_the_checkpoint_of_another_run_is_refused(tmp_path):
    with pytest.raises(Stopped):
        follow(experiment([]), an_empty_record(), tmp_path / "run.pt", stop_at=2)
    with pytest.raises(Refused, match="run.pt is of run abc, this is run def: remove the file"):
        follow(experiment([]), an_empty_record("def"), tmp_path / "run.pt")
    torch.save({"identity": "a fit", "step": 3}, tmp_path / "fit.pt")
    with pytest.raises(Refused, match="fit.pt is of run"):
        follow(experiment([]), an_empty_record(), tmp_path / "fit.pt")


def test_a_torn_checkpoint_of_a_run_is_warned_about_and_ignored(tmp_path):
    with pytest.raises(Stopped):
        follow(experiment([]), an_empty_record(), tmp_path / "run.pt", stop_at=2)
    (tmp_path / "run.pt").write_bytes((tmp_path / "run.pt").read_bytes()[:-200])
    with pytest.warns(UserWarning, match="run.pt cannot be read and is ignored"):
        rows = follow(experiment([]), an_empty_record(), tmp_path / "run.pt")
    assert rows == follow(experiment([]), an_empty_record(), None)

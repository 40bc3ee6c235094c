"""Files that survive a killed process: written whole or not at all, and locked against other processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from itlm import files

HERE = Path(__file__).parent
DEV_FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def start(child, *arguments) -> subprocess.Popen:
    """Run a function of this module in a process of its own."""
    code = f"import sys, test_files; test_files.{child.__name__}(*sys.argv[1:])"
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    return subprocess.Popen(command, cwd=HERE, env=environment, stdout=subprocess.PIPE, text=True)


# write and remove


def test_a_file_is_written_in_pieces_and_replaced_as_a_whole(tmp_path):
    file = tmp_path / "x.bin"
    for chunks in ((b"old",), (b"a", bytearray(b"b"), memoryview(b"cd")), ()):
        files.write(file, *chunks)
        assert file.read_bytes() == b"".join(chunks) and names(tmp_path) == ["x.bin"]


@DEV_FULL
@pytest.mark.parametrize("alone", [False, True])
def test_a_full_disk_is_said_of_the_file_itself_which_stays_as_it_was(tmp_path, monkeypatch, alone):
    file = tmp_path / "x.bin"
    files.write(file, b"old")

    def opening(path, mode):
        path.symlink_to("/dev/full")  # as if the disk were full from here on
        return open(path, mode)

    monkeypatch.setattr(files, "open", opening, raising=False)
    with pytest.raises(OSError, match=rf"^\[Errno 28\] No space left on device: '{file}'$") as caught:
        files.write(file, b"new", alone=alone)
    assert (caught.value.errno, caught.value.filename) == (28, str(file))
    assert file.read_bytes() == b"old" and names(tmp_path) == ["x.bin"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_refuses_late_is_said_of_the_file_itself(tmp_path, monkeypatch, step):
    def refuse(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(OSError, match=rf"^\[Errno 5\] Input/output error: '{tmp_path}/x.bin'$"):
        files.write(tmp_path / "x.bin", b"new")
    assert names(tmp_path) == []


def test_a_place_where_no_file_can_be_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match=rf": '{tmp_path}/folder'$"):
        files.write(tmp_path / "folder", b"new")
    with pytest.raises(FileNotFoundError, match=rf": '{tmp_path}/none/x.bin'$"):
        files.write(tmp_path / "none" / "x.bin", b"new")
    assert names(tmp_path) == ["folder"] and names(tmp_path / "folder") == []


def child_that_is_killed_while_writing(path):
    os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
    files.write(Path(path), b"half")


def killed_while_writing(path) -> str:
    """Leave what a killed writer leaves; return its name."""
    process = start(child_that_is_killed_while_writing, path)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    return f".{path.name}.{process.pid}.tmp"


def test_what_a_killed_writer_left_is_removed_by_the_next_who_is_alone(tmp_path):
    file = tmp_path / "a[1].csv"
    files.write(file, b"old")
    left = killed_while_writing(file)
    assert file.read_bytes() == b"old" and names(tmp_path) == [left, file.name]
    files.write(file, b"new")  # perhaps another process is at it
    assert file.read_bytes() == b"new" and names(tmp_path) == [left, file.name]
    (tmp_path / ".a1.csv.7.tmp").touch()  # of another file
    files.write(file, b"newer", alone=True)
    assert file.read_bytes() == b"newer" and names(tmp_path) == [".a1.csv.7.tmp", file.name]


def test_a_removed_file_takes_what_killed_writers_left_of_it_along(tmp_path):
    file = tmp_path / "x.pt"
    killed_while_writing(file)
    for _ in range(2):  # the second time there is nothing
        files.remove(file)
        assert names(tmp_path) == []


# locked


def child_that_holds(path, seconds):
    with files.locked(Path(path)) as mine:
        print(mine, flush=True)
        time.sleep(float(seconds))


def child_that_tries(path):
    with files.locked(Path(path), wait=False) as mine:
        print(mine)


def tried(path) -> str:
    return start(child_that_tries, path).communicate(timeout=60)[0].strip()


def test_one_process_at_a_time_has_the_lock(tmp_path):
    lock = tmp_path / ".lock"
    with files.locked(lock, wait=False) as mine:
        assert mine is True and tried(lock) == "False" and tried(tmp_path / ".other") == "True"
        with files.locked(lock, wait=False) as again:  # opened anew, it is another's even in one process
            assert again is False
        assert tried(lock) == "False"  # whoever did not get it has not released it either
    assert tried(lock) == "True"
    with pytest.raises(ZeroDivisionError), files.locked(lock):
        raise ZeroDivisionError
    assert tried(lock) == "True"


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    lock = tmp_path / ".lock"
    holder = start(child_that_holds, lock, 600)
    assert holder.stdout.readline() == "True\n"
    with files.locked(lock, wait=False) as mine:
        assert mine is False
    holder.kill()
    holder.communicate()
    with files.locked(lock, wait=False) as mine:
        assert mine is True


def test_who_waits_gets_the_lock_when_it_is_released(tmp_path):
    lock = tmp_path / ".lock"
    holder = start(child_that_holds, lock, 0.5)
    assert holder.stdout.readline() == "True\n"
    begin = time.monotonic()
    with files.locked(lock) as mine:
        assert mine is True and time.monotonic() - begin > 0.2
    holder.communicate()


def test_a_file_system_or_a_machine_without_locks_is_named(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(37, "No locks available")

    lock = tmp_path / ".lock"
    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", none)
        with pytest.raises(OSError, match=rf"No locks available: '{lock} \(the folder must be on a file system with"):
            with files.locked(lock):
                pass
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(OSError, match=f"file locks need Linux or macOS; cannot lock {lock}"), files.locked(lock):
        pass

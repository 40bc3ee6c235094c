"""Atomic writes and file locks, which stay valid if the process is killed.

write(path, content)                    after a crash, the file is the old or the new one
with locked(path, wait=False) as mine:  the kernel releases the lock however the process ends
"""

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["locked", "remove", "write"]


def write(path: Path, *chunks, alone: bool = False) -> None:
    """Write a file atomically: after a crash it holds the old content or the new, never a part.

    Parameters
    ----------
    path : path
        The file. Its folder must exist.
    *chunks : bytes-like
        The content, written one after another.
    alone : bool
        True if no other process writes the file, as under a lock: partial files of killed processes are removed.

    Raises
    ------
    OSError
        If the disk refuses, as when it is full. The error names ``path``, not the temporary file.
    """
    if alone:
        _remove_partial(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(partial, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())  # a full disk may be reported only here
        os.replace(partial, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # error names the temporary file, or no file
    finally:
        partial.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file, if it exists, and the partial files that killed processes wrote for it."""
    path.unlink(missing_ok=True)
    _remove_partial(path)


def _remove_partial(path: Path) -> None:
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        partial.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a file lock against other processes; yield whether the lock was free.

    Parameters
    ----------
    path : path
        The lock file; created if missing.
    wait : bool
        Wait until the lock is free. If False, yield False at once if another process holds the lock.

    Raises
    ------
    OSError
        If the file system or the operating system has no file locks.
    """
    try:
        import fcntl
    except ImportError:
        raise OSError(f"file locks need Linux or macOS; cannot lock {path}") from None
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            free = True
        except BlockingIOError:
            free = False
        except OSError as error:
            error.filename = f"{path} (the folder must be on a file system with file locks)"
            raise
        yield free

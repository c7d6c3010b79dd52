"""One process at a time writes into a folder.

    with locked(Path("runs/mine"), "a run"):            # makes the folder; UserError where another process works in it
        ...

The lock is the kernel's (`flock`) on the file `.lock` in the folder, so it ends with its process however that ends: a killed
one leaves the file and not the lock, and the next one takes it over and says so. The file names its owner for people to read.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from data_prep.common.errors import UserError

LOCK_FILE = ".lock"
"""Its name in the folder, while a process holds the lock or after it was killed."""

_log = logging.getLogger(__name__)
_held: set[int] = set()  # open lock files of this process


class LockedError(UserError):
    """Another process, or another thread of this one, works in the folder."""


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """The folder is this process's own within the `with` block. what: the work, in words, such as "a run".

    Raises `LockedError`, naming the owner, where somebody else has it; nobody waits. It is not reentrant. A file system that
    knows no locks leaves the owner's word: a process that still lives on this machine, or one of another machine, has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # as every other use of a file as a folder says it
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    handle = _taken(folder, what)
    _held.add(handle)
    try:
        yield
    finally:
        # Deleted while still held, so that nobody's newer file is deleted.
        with suppress(OSError):
            (folder / LOCK_FILE).unlink()
        _held.discard(handle)
        os.close(handle)


def _taken(folder: Path, what: str) -> int:
    path = folder / LOCK_FILE
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            kernel = _flock(handle)
            owner = _owner(handle)
            if kernel is False or (kernel is None and _may_live(owner)):
                raise _refusal(folder, owner, kernel)
            if _is_at(handle, path):
                break
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its last owner deleted it between our opening and locking it
    if owner:
        _log.warning(
            "%s was left by process %s on %s, which ended without finishing %s: this one continues in its place.",
            folder, owner.get("pid"), owner.get("host"), owner.get("what", "its work"),
        )  # fmt: skip
    _write_owner(handle, what)
    return handle


def _flock(handle: int) -> bool | None:
    """Whether the lock was had; None where the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
            return None
        raise
    return True


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _owner(handle: int) -> dict[str, Any]:
    """What the last owner wrote; {} where there was none, or it has not written yet."""
    try:
        found = json.loads(os.pread(handle, 4096, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _write_owner(handle: int, what: str) -> None:
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "started": started, "what": what}
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(owner).encode(), 0)


def _may_live(owner: dict[str, Any]) -> bool:
    if not owner:
        return False
    if owner.get("host") != socket.gethostname():
        return True
    try:
        os.kill(int(owner.get("pid", 0)), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError, TypeError, OverflowError):
        return True
    return True


def _refusal(folder: Path, owner: dict[str, Any], kernel: bool | None) -> LockedError:
    who = (
        f"process {owner.get('pid')} on {owner.get('host')}, which began {owner.get('what')} there at {owner.get('started')}"
        if owner
        else "another process"
    )
    ended = "" if kernel is False else f" (if that process has ended, delete {folder / LOCK_FILE})"
    return LockedError(
        f"{folder} is in use by {who}: wait until it has finished{ended}, or give another folder as `out`."
    )


def _forget() -> None:
    """In a forked child: the lock is the parent's alone, so that a child that outlives it holds nothing."""
    for handle in _held:
        with suppress(OSError):
            os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_forget)

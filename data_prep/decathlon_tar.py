"""Read files out of an uncompressed tar in place, from any number of threads and forked workers at once.

    tar = Tar("data/cifar100_train.tar")
    tar.read("data/cifar100/train/0001/000001.jpg")      # bytes

The headers are gone through once (about 40 microseconds each); a read is then one `pread`, which shares no file
position with anybody. Needs a system with `os.pread` (Linux, macOS).
"""

from __future__ import annotations

import os
import tarfile
import weakref
from pathlib import Path
from typing import Any, cast

from data_prep.common.errors import UserError
from data_prep.common.files import open_regular
from data_prep.formats import BadImageError

BLOCK = 512


class Tar:
    """An indexed tar. `members`: name to (first byte, size) of every regular file, `./` taken off the front.

    Raises `UserError` where the file is compressed, cut off, damaged, or holds a name twice.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.members = _index(self.path)
        self._open()

    def read(self, name: str) -> bytes:
        """The bytes of a member; `KeyError` where there is none, `BadImageError` where the tar changed since."""
        return self.read_at(*self.members[name])

    def read_at(self, start: int, size: int) -> bytes:
        """`size` bytes from byte `start`."""
        data = os.pread(self._file, size, start)
        if len(data) != size:
            raise BadImageError(
                f"{self.path} ends before byte {start + size:,}, where an image ends that it held when it was opened: "
                f"write or download it again."
            )
        return data

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        weakref.finalize(self, os.close, self._file)

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "members": self.members}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._open()


def _index(path: Path) -> dict[str, tuple[int, int]]:
    members: dict[str, tuple[int, int]] = {}
    try:
        with open_regular(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                cast(Any, tar).members.clear()  # else every header stays in memory: a gigabyte for ImageNet
                name = member.name.removeprefix("./")
                if not member.isfile():
                    continue
                if name in members:
                    raise UserError(f"{path} holds {name!r} twice: write it again with each image once.")
                members[name] = member.offset_data, member.size
            _require_end(path, tar.offset)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: put it there.") from None
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise UserError(
            f"{path} is no whole uncompressed tar ({error}): write or download it again, without compression."
        ) from error
    return members


def _require_end(path: Path, offset: int) -> None:
    """`tarfile` stops silently at a damaged header; a tar that is whole has a block of zeros there."""
    with path.open("rb") as file:
        file.seek(offset)
        block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise tarfile.ReadError(f"it is cut off at byte {offset + len(block):,}")
    if any(block):
        raise tarfile.ReadError(f"the header at byte {offset:,} is damaged")

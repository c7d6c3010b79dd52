"""Small files for decathlons made by hand."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image


def png(pixels: np.ndarray) -> bytes:
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "PNG")
    return memory.getvalue()


def write_tar(target: Path | io.BytesIO, files: dict[str, bytes], mode: str = "w", extra: tuple = ()) -> None:
    """`extra`: (name, type, link target) of members that are no files."""
    place = {"fileobj": target} if isinstance(target, io.BytesIO) else {"name": target}
    with tarfile.open(**place, mode=mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, kind, link in extra:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            tar.addfile(member)

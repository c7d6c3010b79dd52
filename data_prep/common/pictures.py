"""What every reader of pictures shares: which files are opened, how they are turned, and reading many at once.

    with open_picture(path) as picture:                # a PIL image, or an error of IMAGE_ERRORS
        rgb = rgb_picture(picture, (480, 640))         # 8-bit RGB, the right way up for an index that says 480 x 640
    for pixels in in_threads(images.read, range(len(images))):
        ...

Only files of the `FORMATS` are opened: others, such as PostScript, would start other programs. Only regular files are: a pipe
would never end, a device neither. Links are followed.

Which way up: a camera may store a picture lying on its side and say so in its EXIF orientation tag. A picture is turned by that
tag where its stored size is not the size stated for it and the turned size is; everywhere else it is used as it is stored. So
whoever measured the picture when labels were drawn on it decides, and a picture of no stated size is never turned.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from data_prep.common.devices import usable_cpus
from data_prep.common.files import open_regular

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000") + (
    ("AVIF",) if find_spec("PIL.AvifImagePlugin") else ()
)
"""Formats whose readers are Pillow's own: they start no other program and open no other file."""

IMAGE_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises where a file is not the image that it should be; `RuntimeError` comes from its AVIF decoder."""

MAX_THREADS = 8
PORTION = 256

ORIENTATION = 0x0112
"""The EXIF tag."""
TURNS = {
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What puts a picture upright, for the values of the tag that exchange height and width (EXIF 2.32, section 4.6.4)."""

MIRRORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
}  # fmt: skip
"""The same for the values that keep them."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class WrongModeError(ValueError):
    """The picture has more than 8 bits per channel, which RGB would cut off."""


@contextmanager
def open_picture(source: Path | bytes, formats: Sequence[str] = FORMATS) -> Iterator[Image.Image]:
    """The picture in a file, or in the bytes of one, not decoded yet. Raises one of `IMAGE_ERRORS`."""
    with io.BytesIO(source) if isinstance(source, bytes) else open_regular(source) as file:
        try:
            picture = Image.open(file, formats=list(formats))
        except UnidentifiedImageError:
            raise UnidentifiedImageError(
                f"it is none of {', '.join(formats)}" if formats[1:] else f"it is no {formats[0]}"
            ) from None
        with picture:
            yield picture


def orientation(picture: Image.Image) -> int:
    """The orientation tag, 1 to 8; 1, which is upright, where there is none that can be read.

    Pillow turns TIFF by itself when it decodes, and has done so in `size` already. PNG may have its tag behind the pixels, so it
    is decoded, and raises one of `IMAGE_ERRORS` where it is damaged.
    """
    if picture.format == "TIFF":
        return 1
    if picture.format == "PNG":
        picture.load()  # not within `try`: it raises only once, and gives black pixels after that
    try:
        tag = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged tag is none; readers of EXIF raise whatever they stumble on
        return 1
    return tag if isinstance(tag, int) and 1 <= tag <= 8 else 1


def is_turned(picture: Image.Image, stated: tuple[int, int] | None) -> bool:
    """Whether the picture is to be turned by its tag: it has not the `stated` (H, W) as it is stored, and has it turned."""
    height, width = stated or (0, 0)
    return picture.size == (height, width) and height != width and orientation(picture) in TURNS


def rgb_picture(picture: Image.Image, stated: tuple[int, int] | None = None, draft: int | None = None) -> Image.Image:
    """The picture decoded, as 8-bit RGB, the right way up for its `stated` (H, W).

    draft: a JPEG may be decoded at a fraction of its size, with sides of this length at least.
    Raises one of `IMAGE_ERRORS`; `WrongModeError`, one of them, where its channels have more than 8 bits.
    """
    if picture.mode.startswith(("I", "F")):
        raise WrongModeError(f"it has mode {picture.mode}, and images must have 8 bits per channel")
    turn = TURNS[orientation(picture)] if is_turned(picture, stated) else None
    if draft is not None:
        picture.draft("RGB", (draft, draft))
    rgb = picture.convert("RGB")
    return rgb if turn is None else rgb.transpose(turn)


def upright_picture(picture: Image.Image) -> Image.Image:
    """The picture decoded, as 8-bit RGB, as viewers show it: turned and mirrored by its tag. Raises as `rgb_picture` does."""
    rgb, tag = rgb_picture(picture), orientation(picture)
    return rgb if tag == 1 else rgb.transpose((TURNS | MIRRORED)[tag])


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`work` of each item, in order, done by several threads; in portions, else a fast disk fills the memory."""
    pool = ThreadPoolExecutor(min(MAX_THREADS, usable_cpus()))
    try:
        for start in range(0, len(items), PORTION):
            yield from pool.map(work, items[start : start + PORTION])
    finally:
        pool.shutdown(cancel_futures=True)

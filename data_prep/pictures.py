"""What all readers of pictures share: which errors Pillow has, and reading many at once.

for pixels in in_threads(images.read, range(len(images))):
    ...
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from PIL import Image

IMAGE_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises where a file is not the image that it should be; `RuntimeError` comes from its AVIF decoder."""

MAX_THREADS = 8
PORTION = 256

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`work` of each item, in order, done by several threads; in portions, else a fast disk fills the memory."""
    pool = ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1))
    try:
        for start in range(0, len(items), PORTION):
            yield from pool.map(work, items[start : start + PORTION])
    finally:
        pool.shutdown(cancel_futures=True)

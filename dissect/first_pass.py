"""What is saved of the first pass over the images: what was collected, and how far the images were read.

    first_pass = FirstPass(collected, reader, decides=key, data=fingerprint)
    checkpoint.begin("checkpoint", first_pass)
    first_pass.reached = batch.position       # the place up to which maps were collected: the reader may be ahead of it

The checkpoint of another state of the label set is used where the images read so far give the same pixels and labels as they did
then: a run that failed on a damaged image resumes once it was restored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from data_prep.common.errors import UserError
from dissect.collected import Collected
from dissect.images import ImageReader


class FirstPass:
    """decides: a hash of all that decides the result but the images. data: the fingerprint of the label set."""

    def __init__(self, collected: Collected, reader: ImageReader, *, decides: str, data: str) -> None:
        self.collected, self.reader, self.decides, self.data = collected, reader, decides, data
        self.reached = reader.position

    def state(self) -> dict[str, np.ndarray]:
        """All that the first pass knows, as arrays."""
        n_read, n_skipped = self.reached
        return self.collected.state() | {
            "decides": np.array(self.decides),
            "n_read": np.array(n_read),
            "batch_size": np.array(self.reader.batch_size),
            "skipped": np.array(json.dumps(self.reader.skipped[:n_skipped])),
            "data": np.array(self.data),
            "digests": self.reader.digests[self.reader.numbers[:n_read]],
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `state` gave. Raises `ValueError` or another of `ARRAY_ERRORS`, and changes nothing, where it cannot
        be used; `UserError` where it is of other work."""
        reader = self.reader
        if str(arrays["decides"]) != self.decides:
            if str(arrays["data"]) != self.data:
                raise ValueError("the label set is another")
            raise UserError(
                f"The checkpoint in {self.collected.candidates.folder} was left by a run on other weights, layers, data or "
                f"settings: delete it, or give another folder."
            )
        # A second pass shows the very batches of the first: others may be rounded otherwise, and end elsewhere.
        if bool(arrays["given_up"]) and int(arrays["batch_size"]) != reader.batch_size:
            raise ValueError(f"its batches have {arrays['batch_size']} images, not {reader.batch_size}")
        skipped = [(int(number), str(reason)) for number, reason in json.loads(str(arrays["skipped"]))]
        n_read, digests = int(arrays["n_read"]), arrays["digests"]
        read = reader.numbers[:n_read]
        if not 0 <= n_read <= len(reader.numbers) or digests.shape != reader.digests[read].shape:
            raise ValueError("its number of images is another")
        if int(arrays["n_seen"]) != n_read - len(skipped):
            raise ValueError("its images do not add up")
        if str(arrays["data"]) != self.data and not reader.reads_the_same(digests):
            raise ValueError("images that it has seen were changed since")
        self.collected.restore(arrays)
        reader.n_read, reader.skipped = n_read, skipped
        reader.digests[read] = digests
        self.reached = reader.position


def check_all_counted(reader: ImageReader, counted: Sequence[int]) -> None:
    """Raises `UserError` unless each image that was read is counted, once: the maps come back from files of the folder."""
    read = sorted(set(reader.numbers[: reader.n_read].tolist()) - {number for number, _ in reader.skipped})
    if sorted(counted) != read:
        raise UserError(
            f"{len(counted)} images were counted and {len(read)} were read, so the files of the run were changed while it was at "
            f"work: delete its folder, and run again."
        )

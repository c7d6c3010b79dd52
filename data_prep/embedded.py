"""Open the miniature sets that come with the toolkit, drawn into the cache where they are not there yet.

    data = open_embedded(split="val")                     # a `LabelledImages` named "embedded"
    domains = open_embedded_decathlon()
    train = domains.split("mini-dtd", "train")            # a `ClassifiedImages`

Drawing takes seconds, once; see `mini_broden` and `mini_decathlon` for what is in them, and `drawn_sets` for where they lie.
"""

from __future__ import annotations

from collections.abc import Iterable

from data_prep import mini_broden, mini_decathlon
from data_prep.broden import Broden, open_broden
from data_prep.common.terminal import Progress, silent
from data_prep.decathlon import Decathlon, open_decathlon


def open_embedded(
    split: str | None = None, categories: Iterable[str] | None = None, *, progress: Progress = silent
) -> Broden:
    """Open the embedded miniature Broden, all of it or one split ("train", "val"), with all or some of its categories.

    `progress("drawing", done, total)` is called while it is drawn. Raises `UserError` where the split or a category is not
    there, or the cache cannot be written.
    """
    return open_broden(mini_broden.ensure(progress=progress), split, categories, name="embedded")


def open_embedded_decathlon(*, progress: Progress = silent) -> Decathlon:
    """Open the embedded miniature decathlon: ten small domains, `mini-imagenet12` to `mini-ucf101`.

    `progress("drawing", done, total)` is called while it is drawn. Raises `UserError` where the cache cannot be written.
    """
    return open_decathlon(mini_decathlon.ensure(progress=progress))

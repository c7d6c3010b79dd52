"""The pictures of a page in a folder beside it, where they are too many to be inside.

    assets = PageAssets(Path("pictures"), page_folder, stored)
    assets.write()                   # pictures/0c4f…-91d2…/images/0.jpg, ..., masks/0.png, ...
    assets.way                       # from the page to them, as an address
    assets.remove_earlier()          # once the page is there: what it showed before

Pages may share the folder and be moved together with it. The name of each one's own folder in it is made of the way to the page
and of the pictures themselves: no page ever shows another's, and one that is written again takes the place of its older self.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from data_prep.common.files import write_bytes
from reports.page_pictures import StoredPictures


class PageAssets:
    """Where the pictures of one page lie in the folder `assets`. page: the folder of the page."""

    def __init__(self, assets: Path, page: Path, stored: StoredPictures) -> None:
        self._assets, self._page, self._stored = assets, page, stored
        self._of_page = f"{_digest([os.path.relpath(page.resolve(), assets.resolve()).encode()])}-"
        self.folder = assets / f"{self._of_page}{_digest([*stored.images, *stored.masks])}"

    @property
    def way(self) -> str:
        """From the page to the pictures, as the beginning of their addresses."""
        relative = os.path.relpath(self.folder.resolve(), self._page.resolve())
        return f"{quote(relative.replace(os.sep, '/'))}/"

    @property
    def there(self) -> dict[str, list[int]]:
        """Which images and masks there are: an image that could not be read has no file."""
        return {
            "images": [int(bool(content)) for content in self._stored.images],
            "masks": [int(bool(content)) for content in self._stored.masks],
        }

    def write(self) -> None:
        """Write the pictures, named by their numbers."""
        for kind, ending, files in (("images", "jpg", self._stored.images), ("masks", "png", self._stored.masks)):
            for k, content in enumerate(files):
                if content:
                    write_bytes(self.folder / kind / f"{k}.{ending}", content)

    def remove_earlier(self) -> None:
        """Remove the pictures of what stood in the page's place before."""
        for earlier in self._assets.glob(f"{self._of_page}*"):
            if earlier != self.folder and len(earlier.name) == len(self.folder.name):
                shutil.rmtree(earlier)


def _digest(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:12]

"""The command `data-prep cache`, for what all three commands keep."""

from __future__ import annotations

import sys
from datetime import datetime

from data_prep.common.caches import LIMIT_VARIABLE, cache_folder, cache_limit, cached
from data_prep.common.caches import clear as clear_parts
from data_prep.common.terminal import Style, print_rows


def cache(clear: tuple[str, ...] = (), style: Style = "table") -> int:
    """Show what is kept to save time, how much it takes and when it was of use last; or delete it.

    Everything there is made again when it is needed. The variable DISSECT_CACHE names another folder to keep it in, and
    DISSECT_CACHE_LIMIT how many GB of decoded images to keep, of which those used longest ago are deleted.

    Args:
        clear: Names of parts to delete, as the list shows them, or all.
        style: A table to read, or plain numbers as CSV or JSON.
    """
    clear_parts(clear)
    entries, table = cached(), style == "table"
    rows = [
        (
            each.name,
            f"{each.n_bytes / 1e6:,.1f}" if table else each.n_bytes,
            f"{each.n_files:,}" if table else each.n_files,
            datetime.fromtimestamp(each.used).astimezone().isoformat(" " if table else "T", "minutes"),
            each.what,
        )
        for each in entries
    ]
    print_rows(
        ("part", "MB" if table else "n_bytes", "files" if table else "n_files", "used", "what"),
        rows,
        style=style,
        numbers=(1, 2),
    )
    n_bytes, aside = sum(each.n_bytes for each in entries), sys.stdout if table else sys.stderr
    print(
        f"{cache_folder()}: {n_bytes / 1e9:.2f} GB; decoded images up to {cache_limit() / 1e9:g} GB ({LIMIT_VARIABLE})",
        file=aside,
    )
    return 0

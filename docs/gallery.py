"""Draws the gallery: `python docs/gallery.py` runs the code of gallery.md on the run of `make demo` (runs/demo).

From the root of the project. The pictures in docs/gallery/ are what comes out of it.
"""

from __future__ import annotations

import re
import runpy
import tempfile
from pathlib import Path

PAGE = Path(__file__).with_name("gallery.md")


def run_code(page: Path = PAGE) -> None:
    """Run the Python blocks of the page as one script, in the folder where one is."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "gallery_code.py"
        script.write_text(code, encoding="utf-8")
        runpy.run_path(str(script))


if __name__ == "__main__":
    run_code()

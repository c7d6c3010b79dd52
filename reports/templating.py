"""Templates, styles and scripts of pages: parts in `templates/`, joined into a page that needs no other file.

script = joined_script(("data.js", "main.js"))
html = environment().get_template("report.html").render(script=Markup(script), script_hash=script_hash(script))
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from reports.page_words import n_of, number, short
from reports.style import one_line

_TEMPLATES = Path(__file__).parent / "templates"


def environment() -> Environment:
    """The templates of pages, with their filters; what they print is escaped."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"n_of": n_of, "number": number, "short": short, "line": one_line}
    return made


def joined_script(names: Sequence[str]) -> str:
    """The parts of a page's script as one, whose names stay inside."""
    parts = [(_TEMPLATES / name).read_text(encoding="utf-8") for name in names]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def script_hash(script: str) -> str:
    """The hash by which a page's content policy knows its script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def joined_style(names: Sequence[str]) -> Markup:
    """The parts of a page's style as one."""
    return Markup("\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in names))

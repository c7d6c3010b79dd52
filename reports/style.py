"""One look for every figure and page: colours, type, and how a figure is written.

    with figure_style():
        figure = new_figure(3.5, 2)
        attribute_bars(figure.subplots(), populations)
        write_figure(figure, folder / "bars")         # bars.png and bars.svg; `formats` also takes pdf

Colours can be told apart without colour vision (Paul Tol's bright and high-contrast schemes, and for categories of your own
the colours farthest from those and from each other); each operator and category has the same colour in every figure. Figures
are built on the object API with the Agg canvas: no window, no pyplot state.
"""

from __future__ import annotations

import colorsys
import io
import itertools
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from PIL import Image

from data_prep.common.errors import UserError
from data_prep.common.files import write_bytes
from reports.letters import FAMILY, families_for, give_letters

COLUMN_WIDTH, PAGE_WIDTH = 3.46, 7.2
"""Inches: one column and both of a page of text (88 and 183 mm); type is set for these sizes."""

CATEGORY_COLOURS = {
    "object": "#4477AA",
    "part": "#66CCEE",
    "scene": "#228833",
    "material": "#CCBB44",
    "texture": "#EE6677",
    "color": "#AA3377",
}
_SPARE_CATEGORY_COLOURS = (
    "#112277", "#00DDBB", "#113311", "#8899FF", "#BBDD88", "#551144", "#774444", "#6655BB", "#554400", "#8899AA",
    "#DD7755", "#444488", "#AA8811", "#55DDDD",
)  # fmt: skip
"""Each as far as can be from those before it, to normal eyes and to eyes without red or green (Machado and others 2009)."""

OPERATOR_COLOURS = {"depthwise": "#004488", "pointwise": "#DDAA33"}
_SPARE_OPERATOR_COLOURS = ("#777777", "#BB5566", "#88AACC", "#997700", "#BBBBBB")

INK, MUTED, FAINT, GRID = "#1a1a1a", "#5c5c5c", "#f3f3f3", "#d9d9d9"
CONTOUR = (255, 221, 0)
_TEXT_TO_PATH = TextToPath()

_NO_DATE: dict[str, Any] = {"svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None, "Creator": None}}
_PIXEL_FORMATS = {"png": "PNG", "jpg": "JPEG"}
_PIXEL_OPTIONS: dict[str, dict[str, Any]] = {"png": {"compress_level": 3}, "jpg": {"quality": 85, "subsampling": 0}}

_RC: Any = {  # its names are checked by matplotlib, whose type for them changes between versions
    "font.family": [FAMILY],
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7.5,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "text.color": INK,
    "text.parse_math": False,  # a label may hold a dollar sign
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "dissection",
    "svg.fonttype": "path",  # same drawing whichever fonts the reader has
    "pdf.fonttype": 42,  # outlines, which journals ask for
}


@contextmanager
def figure_style() -> Iterator[None]:
    """`with figure_style():` around both the drawing and the writing of a figure.

    Letters that the figures' font lacks come from fonts of this machine (`reports.letters`); where none has them they are boxes.
    """
    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    fonts.setLevel(logging.ERROR)  # that a font has no bold letters helps nobody
    try:
        with mpl.rc_context(_RC), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            yield
    finally:
        fonts.setLevel(level)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches that draws with Agg."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def panel_grid(
    n_panels: int, *, columns: int, width: float, height: float, share_axes: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of `width` x `height` inches with `n_panels` axes, row by row, at most `columns` in each row."""
    figure = new_figure(width, height)
    figure.set_layout_engine("constrained", h_pad=0.06, w_pad=0.06)
    rows = -(-n_panels // columns)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share_axes, sharey=share_axes).ravel()
    for axis in axes[n_panels:]:
        axis.remove()
    return figure, list(axes[:n_panels])


def category_colours(categories: Iterable[str]) -> dict[str, str]:
    """A colour of its own for each category; Broden's six have fixed ones, others take the spare ones in their order.

    >>> category_colours(["texture", "animal"])
    {'texture': '#EE6677', 'animal': '#112277'}
    """
    spare = itertools.chain(_SPARE_CATEGORY_COLOURS, map(_further_colour, itertools.count()))
    return {c: CATEGORY_COLOURS[c] if c in CATEGORY_COLOURS else next(spare) for c in dict.fromkeys(categories)}


def _further_colour(k: int) -> str:
    """A colour for who has more than twenty categories: hues by the golden angle, each a little lighter or darker."""
    red, green, blue = colorsys.hls_to_rgb(k * 0.381966 % 1, 0.35 + 0.3 * (k * 0.618 % 1), 0.45)
    return f"#{round(red * 255):02X}{round(green * 255):02X}{round(blue * 255):02X}"


def operator_colours(operators: Iterable[str]) -> dict[str, str]:
    """A colour for each operator; depthwise and pointwise have fixed ones, others take the spare ones in their order.

    >>> operator_colours(["pointwise", "conv2d"])
    {'pointwise': '#DDAA33', 'conv2d': '#777777'}
    """
    spare = iter(_SPARE_OPERATOR_COLOURS * 8)
    return {o: OPERATOR_COLOURS[o] if o in OPERATOR_COLOURS else next(spare, MUTED) for o in dict.fromkeys(operators)}


def one_line(text: object) -> str:
    r"""`text` on one line, without control characters and lone surrogates, which neither SVG nor UTF-8 can hold.

    >>> one_line("two\nlines\ttab")
    'two lines tab'
    """
    cleaned = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", str(text))
    return re.sub(r"[\ud800-\udfff\ufffe\uffff]", "\ufffd", cleaned).strip()


def shorten(text: object, limit: int) -> str:
    """`text` on one line and at most `limit` characters long; what is left out, in the middle, becomes an ellipsis.

    >>> shorten("features.3.block.0", 9)
    'feat…ck.0'
    """
    line = one_line(text)
    if len(line) <= limit:
        return line
    tail = (limit - 1) // 2
    return line[: limit - 1 - tail].rstrip() + "…" + line[len(line) - tail :].lstrip()


def render(figure: Figure, formats: Iterable[str] = ("png", "svg"), dpi: int = 200) -> dict[str, bytes]:
    """The figure as a file of each format (png, jpg, svg, pdf); the same figure gives the same bytes on any day.

    Drawn once for all formats of pixels, and laid out once for all formats: that is most of the time it takes.
    """
    files: dict[str, bytes] = {}
    picture: Image.Image | None = None
    engine = figure.get_layout_engine()
    give_letters(figure)
    try:
        for format in formats:
            buffer = io.BytesIO()
            if format in _NO_DATE:
                figure.savefig(buffer, format=format, dpi=dpi, metadata=_NO_DATE[format])
            else:
                picture = picture or _pixels(figure, dpi)
                picture.save(buffer, _PIXEL_FORMATS[format], dpi=(dpi, dpi), **_PIXEL_OPTIONS[format])
            files[format] = buffer.getvalue()
            if engine is not None:
                figure.set_layout_engine("none")
    finally:
        if engine is not None:
            figure.set_layout_engine(engine)
    return files


def _pixels(figure: Figure, dpi: int) -> Image.Image:
    """The figure drawn on white."""
    canvas = FigureCanvasAgg(figure)
    figure.savefig(io.BytesIO(), format="rgba", dpi=dpi)
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba()))  # its own width: a product of inches may round to another
    if drawn.getchannel("A").getextrema() != (255, 255):
        drawn = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn)
    return drawn.convert("RGB")


def write_figure(
    figure: Figure, stem: Path, formats: Iterable[str] = ("png", "svg"), dpi: int = 200
) -> dict[str, bytes]:
    """Write `stem`.FORMAT for each format, whole or not at all. Returns the bytes of each by its format.

    formats: of png, jpg, svg, pdf. dpi: of pixels. Raises `UserError` for any other format.
    """
    formats = list(formats)
    for format in formats:
        if format not in (*_PIXEL_FORMATS, *_NO_DATE):
            raise UserError(f"`formats` has {format!r}; it takes png, jpg, svg and pdf.")
    files = render(figure, formats, dpi)
    write_files(files, stem)
    return files


def files_of(figure: Figure, photographs: bool) -> dict[str, bytes]:
    """A figure as the files that lie beside the page and, for photographs, the JPEG that goes into it."""
    with figure_style():
        return render(figure, ("png", "svg", "jpg") if photographs else ("png", "svg"))


def write_files(files: Mapping[str, bytes], stem: Path) -> None:
    """Write the bytes of each format as `stem`.FORMAT, whole or not at all."""
    for format, content in files.items():
        write_bytes(stem.with_name(f"{stem.name}.{format}"), content)


def axis_inches(axis: Axes) -> tuple[float, float]:
    """Width and height of an axis; where the layout is still to come, about what they will be."""
    figure, box = axis.get_figure(root=True), axis.get_position()
    if figure is None:
        raise UserError("The axis has been removed from its figure; draw into one that a figure has.")
    width, height = figure.get_size_inches()
    return width * box.width, height * box.height


@lru_cache(maxsize=10_000)
def text_inches(text: str, size: float, weight: str = "normal") -> float:
    """How wide `text` is in inches when set at `size` points."""
    font = FontProperties(family=families_for(text), size=size, weight=weight)
    return _TEXT_TO_PATH.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def fit_text(text: object, inches: float, size: float, weight: str = "normal") -> str:
    """`text` on one line, shortened in the middle until it is at most `inches` wide when set at `size` points."""
    line = shorten(text, 200)
    limit = len(line)
    while limit > 2 and text_inches(line, size, weight) > inches:
        limit -= 1
        line = shorten(text, limit)
    return line

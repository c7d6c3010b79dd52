"""The table of a benchmark as one picture.

python benchmarks/picture.py runs/benchmark/benchmark.csv runs/benchmark/benchmark.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from reports.style import figure_style, panel_grid

VARIED = {
    "lanes": ("lanes", "Images a second, by lanes"),
    "images": ("n_images", "Run / bare pass, by images"),
    "units": ("n_units", "Run / bare pass, by units"),
    "concepts": ("n_concepts", "Run / bare pass, by concepts"),
    "maps": ("value", "Run / bare pass, by side of the images in pixels"),
}
"""Sections that vary one thing: the column that says it, and the title of the panel."""
PARTS = ("forward", "again", "thresholds", "tally", "rest")
COLOURS = ("#BBBBBB", "#66CCEE", "#4477AA", "#EE6677", "#CCBB44")


def draw(table: Path, picture: Path) -> None:
    """Draw what the table (benchmark.csv) holds; a section that is not there leaves its panel out."""
    rows = pd.read_csv(table)
    panels = [name for name in ("whole", *VARIED, "busy") if name in set(rows["section"])]
    if not panels:
        return
    with figure_style():
        figure, axes = panel_grid(len(panels), columns=3, width=10, height=2.6 * -(-len(panels) // 3))
        for name, panel in zip(panels, axes, strict=True):
            part = rows[rows["section"] == name]
            if name == "whole":
                _whole(panel, part)
            elif name == "busy":
                _busy(panel, part)
            else:
                _varied(panel, name, part)
        figure.savefig(picture, dpi=110)


def _whole(panel: Axes, rows: pd.DataFrame) -> None:
    """Wall seconds: the bare pass, and the run by its stages."""
    seconds = rows.set_index("value")
    panel.barh(["bare"], [seconds.loc["bare, all lanes", "wall"]], color=COLOURS[0])
    left, ran = 0.0, seconds.loc["run against all lanes"]
    for part, colour in zip(PARTS, COLOURS, strict=True):
        panel.barh(["run"], [ran[part]], left=[left], color=colour, label=part)
        left += ran[part]
    panel.barh(["report"], [seconds.loc["report", "wall"]], color=COLOURS[-1], alpha=0.5)
    panel.set_title(f"Seconds; run / bare {ran['wall_ratio']:.2f}, CPU {ran['cpu_ratio']:.2f}")
    panel.invert_yaxis()
    panel.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=len(PARTS))


def _varied(panel: Axes, name: str, rows: pd.DataFrame) -> None:
    column, title = VARIED[name]
    over = rows[column].astype(float)
    if name == "lanes":
        panel.plot(over, rows["n_images"] / rows["bare_wall"], "o-", color=COLOURS[0], label="bare")
        panel.plot(over, rows["n_images"] / rows["wall"], "o-", color=COLOURS[2], label="run")
        panel.set_xticks(over)
    else:
        panel.plot(over, rows["cpu_ratio"], "o-", color=COLOURS[2], label="CPU seconds")
        panel.plot(over, rows["wall_ratio"], "o-", color=COLOURS[3], label="wall seconds")
    panel.set_ylim(bottom=0)
    panel.set_xlim(left=0)
    panel.set_title(title)
    panel.legend(fontsize=6, loc="lower right")


def _busy(panel: Axes, rows: pd.DataFrame) -> None:
    names = rows["value"].str.replace(" processes", "")
    panel.barh(names, rows["cpu_ratio"], color=COLOURS[2])
    beside = rows["wall_ratio"].notna()
    panel.barh(names[beside] + ", wall", rows["wall_ratio"][beside], color=COLOURS[3])
    panel.axvline(1, color="#1a1a1a", lw=0.8)
    panel.invert_yaxis()
    panel.set_title("Busy: CPU / bare pass, wall / fair share")


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))

"""The run folder: what `dissect` leaves behind and `reports` reads. No torch.

    run = open_run("runs/embedded")           # refuses a folder that is not finished
    run.units                                 # pandas table, one row for each unit
    run.iou()                                 # pandas table, units x concepts
    run.unit("imagenet12", 18, 5, "depthwise").concepts     # what one unit responds to, best first
    run.strongest_masks("imagenet12").mask(unit_row, 0)     # (H, W) bool: the unit's mask on its strongest image

A finished folder holds

    run.json             settings as resolved, versions, hashes, seed, timings, notes for the reader, the images that were turned
                         by their orientation tags with (H, W) after that (`data.turned`); `files` has the size,
                         sha256 and, of tables, the number of rows of each file below, by which `open_run` knows them again
    units.csv            one row for each unit: UNIT_COLUMNS; `unit` counts from 0
    concepts.csv         one row for each concept: CONCEPT_COLUMNS
    unit_category.csv    one row for each (unit, category): the best concept of that category, with its integer counts
    images.csv           one row for each image used: `image` (its row here), `name`, `split`
    replicates.csv       with folds only: one row for each (fold, unit), what it detects without that fold: REPLICATE_COLUMNS
    trust.csv            with folds only: one row for each unit, how sure its label is: TRUST_COLUMNS, see `dissect.trust`
    labels.csv           with folds only: the best concepts of each unit, and all that its label may be: LABEL_COLUMNS
    counts/NETWORK.npz   the counts of one network and what else the tables are made of: see below
    strongest/NETWORK.npz  the strongest images of every unit with their masks: see `StrongestMasks`
    responses/NETWORK.npz  the images in which every unit's mask is, and histograms of its activations: see `responses`
    concept_images.npz   the images that show each concept
    DONE                 written last; a folder without it is not a result

`U` counts the units of one network in the order of its rows in `units.csv`, `C` the rows of `concepts.csv`, `K` the categories
in the order of run.json, `F` folds. The arrays of counts/NETWORK.npz, areas in label pixels over all images used:

    intersection_area    (U, C) int64, pixels in both the unit's mask and the concept
    mask_area            (U, K) int64, pixels of the mask in the images that the union rule counts for the category
    concept_area         (C,) int64, pixels of the concept
    n_images             (C,) int64, images that show the concept
    annotated_area       (K,) int64, label pixels of the images in which the category is annotated; under the union rule
                         all-images, of all images
    threshold            (U,) float32, the unit's threshold
    max_activation       (U,) float32, its largest activation
    images               (n,) int64, numbers of the images used in the data set; row i of images.csv is images[i]
    skipped              (n, 2) text, name of each image that could not be used, and why

with a null of R rounds

    null_score           (R, U) float64, each unit's best score with the labels of other images, see `null`

and with folds, for the images of each fold alone:

    fold_intersection_area  (F, U, C) int64
    fold_mask_area       (F, U, K) int64
    fold_concept_area    (F, C) int64
    fold_n_images        (F, C) int64
    fold_annotated_area  (F, K) int64
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_prep.common.errors import UserError, choose
from dissect import responses
from dissect import run_schema as schema
from dissect.notebook import run_html
from dissect.one_unit import Unit, facts_of, unit_of
from dissect.run_files import RunFolderError, read_arrays, read_info, verify, write_arrays, write_table
from dissect.run_info import FORMAT_VERSION, check_info, files_of, seal
from dissect.run_schema import FOLD
from dissect.scores import SCORES, Counts, category_numbers, needs_universe, scored
from dissect.strongest_masks import StrongestMasks

__all__ = [
    "CONCEPT_COLUMNS", "FOLD", "FORMAT_VERSION", "IMAGE_COLUMNS", "LABEL_COLUMNS", "REPLICATE_COLUMNS", "TRUST_COLUMNS",
    "UNIT_CATEGORY_COLUMNS", "UNIT_COLUMNS",
    "Run", "RunFolderError", "StrongestMasks", "Unit", "files_of", "open_run", "read_arrays", "read_info",
    "seal", "write_arrays", "write_table",
]  # fmt: skip

UNIT_COLUMNS = tuple(schema.UNITS)
CONCEPT_COLUMNS = tuple(schema.CONCEPTS)
IMAGE_COLUMNS = tuple(schema.IMAGES)
REPLICATE_COLUMNS = tuple(schema.REPLICATES)
TRUST_COLUMNS = tuple(schema.TRUST)
LABEL_COLUMNS = tuple(schema.LABELS)
UNIT_CATEGORY_COLUMNS = tuple(schema.UNIT_CATEGORY)


@dataclass(frozen=True)
class Run:
    """A finished run folder, read when something is first asked for."""

    path: Path
    info: dict[str, Any]

    def _repr_html_(self) -> str:
        return run_html(self)

    @cached_property
    def units(self) -> pd.DataFrame:
        """One row for each unit of every network: UNIT_COLUMNS."""
        table = self._labelled("units.csv", schema.UNITS)
        schema.check_units(self.path / "units.csv", table, self.networks)
        return table

    @cached_property
    def concepts(self) -> pd.DataFrame:
        """One row for each concept: CONCEPT_COLUMNS."""
        path = self.path / "concepts.csv"
        table = self._table("concepts.csv", schema.CONCEPTS)
        schema.check_numbered(path, table, "concept")
        return table

    @cached_property
    def unit_category(self) -> pd.DataFrame:
        """One row for each (unit, category), the best concept of that category: UNIT_CATEGORY_COLUMNS."""
        table = self._labelled("unit_category.csv", schema.UNIT_CATEGORY)
        schema.check_units(self.path / "unit_category.csv", table, self.networks, {"category": self._categories})
        return table

    @cached_property
    def replicates(self) -> pd.DataFrame | None:
        """What each unit detects without each fold (`left_out`); None for a run without folds."""
        if self._n_folds == 1:
            return None
        table = self._labelled("replicates.csv", schema.REPLICATES)
        schema.check_units(self.path / "replicates.csv", table, self.networks, {"left_out": range(self._n_folds)})
        return table

    @cached_property
    def trust(self) -> pd.DataFrame | None:
        """How sure each unit's label is, in the order of `units`: TRUST_COLUMNS; None for a run without folds.

        `p` and `q` are NaN, and `sure` is `pandas.NA`, where the run has no null.
        """
        if self._n_folds == 1:
            return None
        table = schema.checked_table(self.path / "trust.csv", schema.TRUST)
        schema.check_units(self.path / "trust.csv", table, self.networks)
        return table

    @cached_property
    def labels(self) -> pd.DataFrame | None:
        """The best concepts of each unit, best first, with intervals: LABEL_COLUMNS; None for a run without folds."""
        if self._n_folds == 1:
            return None
        table = self._labelled("labels.csv", schema.LABELS)
        schema.check_ranked(self.path / "labels.csv", table, self.units)
        return table

    @cached_property
    def images(self) -> pd.DataFrame:
        """One row for each image used: IMAGE_COLUMNS."""
        table = schema.checked_table(self.path / "images.csv", schema.IMAGES)
        schema.check_numbered(self.path / "images.csv", table, "image")
        return table

    @property
    def networks(self) -> list[dict[str, Any]]:
        """What `run.json` says of each network, in the order dissected: `name`, `domain`, `trained`, `layers`, ..."""
        return self.info["networks"]

    @property
    def score(self) -> str:
        """The name of the score that labels were chosen by, one of `dissect.scores.SCORES`."""
        return self.info["settings"].get("score", "iou")

    @property
    def source(self) -> str:
        """Of what `dissect import` made this run, as "netdissect tally"; "" for one of this toolkit.

        An imported run knows the best concept of each unit in each category and no more: what else there is in `units`,
        `unit_category` and `concepts` may be NaN or `pandas.NA`, it has no images, and `counts` and what needs them refuse.
        """
        return self.info.get("source", {}).get("format", "")

    def refuse_imported(self, what: str) -> None:
        """Raises `UserError`, saying that there is no such thing, for an imported run."""
        if self.source:
            raise UserError(
                f"{self.path} was imported from a {self.source}, which tells the best concept of each category and no more: it "
                f"has no {what}."
            )

    @property
    def image_root(self) -> Path:
        """The folder that the image names of `images.csv` are relative to."""
        return Path(self.info["data"]["images"])

    def counts(self, network: str) -> dict[str, np.ndarray]:
        """The arrays of counts/NETWORK.npz, as the module describes them. Raises `UserError` for an unknown network."""
        self.refuse_imported("counts of every unit with every concept")
        path = self.path / "counts" / f"{self._known(network)}.npz"
        arrays = read_arrays(path)
        schema.check_counts(
            path, arrays, n_units=self._n_units(network), n_concepts=len(self.concepts), n_categories=len(self._categories),
            n_folds=self._n_folds, n_rounds=self.info["settings"].get("null", 0),
        )  # fmt: skip
        return arrays

    def strongest_masks(self, network: str) -> StrongestMasks:
        """The strongest images of every unit of one network, with their masks. Raises `UserError` for an unknown network."""
        path = self.path / "strongest" / f"{self._known(network)}.npz"
        if self.source:
            return StrongestMasks.none(self._n_units(network))
        arrays = read_arrays(path)
        schema.check_strongest(path, arrays, n_units=self._n_units(network), n_images=len(self.images))
        return StrongestMasks(**arrays)

    def iou(self, network: str | None = None) -> pd.DataFrame:
        """IoU of every unit with every concept: `run.iou().loc[("imagenet12", "18", "depthwise", 5), ("object", "cat")]`.

        Rows are (network, layer, operator, unit) in the order of `units`, of one network or of all; columns are (category,
        label) in the order of `concepts`. Computed from the stored integer counts, with the union rule of the run, so that
        the largest value of a row among eligible concepts is the `iou` of that unit to the bit, if it is labelled by IoU.
        Raises `UserError` for an unknown network.
        """
        return self.scores("iou", network)

    def scores(self, score: str, network: str | None = None) -> pd.DataFrame:
        """Any of `dissect.scores.SCORES` of every unit with every concept, as `iou` gives it: `run.scores("matthews")`.

        Raises `UserError` for an unknown score or network, and for a score that the run's union rule has no pixels for.
        """
        choose("score", score, SCORES)
        if needs_universe(score) and self.info["settings"].get("union") == "touched":
            raise UserError(
                f"The score {score} needs the pixels that neither mask nor concept covers, and this run has the union rule "
                f"touched, which knows no such number: dissect again with `union` 'category', or take another score."
            )
        names = self._network_names if network is None else [self._known(network)]
        values = [scored(score, Counts.of_arrays(self.counts(name)), self._concept_category) for name in names]
        units = pd.concat([self.units[self.units["network"] == name] for name in names])
        return pd.DataFrame(
            np.concatenate(values),
            index=pd.MultiIndex.from_frame(units[["network", "layer", "operator", "unit"]]),
            columns=pd.MultiIndex.from_frame(self.concepts[["category", "label"]]),
        )

    def unit(self, network: str, layer: str | int, unit: int, operator: str | None = None) -> Unit:
        """One unit: what it is labelled with, its runners-up, and its best concept of each category.

        layer: as `units` names it, or the tapped module's name. unit: counts from 0. operator: needed only where the layer
        has several. Raises `UserError`, offering the nearest names, where the run has no such unit.
        """
        row, facts = facts_of(self, network, layer=layer, unit=unit, operator=operator)
        return unit_of(self, row, facts, None if self.source else self._concept_category)

    def images_with(self, label: str, category: str | None = None) -> pd.DataFrame:
        """The images that show a concept: `run.images_with("lamp")`; columns `image` (row of `images`), `name` and `area`, its
        label pixels there, in the order of `images`.

        category: needed only where several have a label of this name. Raises `UserError` for an unknown concept.
        """
        self.refuse_imported("images")
        return responses.images_with(self, label, category)

    def images_of(self, network: str, layer: str | int, unit: int, operator: str | None = None) -> pd.DataFrame:
        """The images in which a unit's mask has pixels, named as for `unit`: columns `image` (row of `images`), `name` and
        `mask_area`, the label pixels of the mask there, in the order of `images`. Raises as `unit` does."""
        self.refuse_imported("images")
        row, _ = facts_of(self, network, layer=layer, unit=unit, operator=operator)
        return responses.images_of(self, network, row, self._n_units(network))

    def images_per_unit(self, network: str) -> np.ndarray | None:
        """(U,) int64: in how many images the mask of each unit of a network has pixels, see `images_of`.

        None for an imported run. Raises `UserError` for an unknown network.
        """
        if self.source:
            return None
        return np.diff(responses.responses_of(self, self._known(network), self._n_units(network))["start"])

    def histograms(self, network: str) -> tuple[np.ndarray, np.ndarray] | None:
        """(edges, counts) of one network: (N + 1,) float32, and (U, N) int64, how many activations of each unit lie in each bin,
        on all images or, of a large set, on some; None for an imported run. Raises `UserError` for an unknown network."""
        if self.source:
            return None
        arrays = responses.responses_of(self, self._known(network), self._n_units(network))
        return arrays["edges"], arrays["histogram"]

    def null_score(self, network: str) -> np.ndarray | None:
        """(R, U) float64: the best score of each unit with the labels of other images, in each round of the null; None for a run
        without. Raises `UserError` for an unknown network."""
        return self.counts(network).get("null_score")

    @property
    def _network_names(self) -> list[str]:
        return [network["name"] for network in self.networks]

    @cached_property
    def _concept_category(self) -> np.ndarray:
        """(C,) the category of each concept, by its place in run.json."""
        schema.check_among(self.path / "concepts.csv", self.concepts, "category", self._categories)
        return category_numbers(list(self.concepts["category"]), self._categories)

    @property
    def _categories(self) -> list[str]:
        return self.info["data"]["categories"]

    @property
    def _n_folds(self) -> int:
        return self.info["settings"].get("folds", 1)

    def _n_units(self, network: str) -> int:
        (entry,) = (each for each in self.networks if each["name"] == network)
        return sum(layer["n_units"] for layer in entry["layers"])

    def _table(self, name: str, columns: schema.Columns) -> pd.DataFrame:
        return schema.checked_table(self.path / name, schema.imported(columns) if self.source else columns)

    def _labelled(self, name: str, columns: schema.Columns) -> pd.DataFrame:
        """A table whose rows carry a concept of concepts.csv, or none."""
        table = self._table(name, columns)
        schema.check_concepts(self.path / name, table, self.concepts)
        return table

    def _known(self, network: str) -> str:
        choose("network", network, self._network_names)
        return network


def open_run(path: str | Path) -> Run:
    """Open a finished run folder. Raises `RunFolderError` where there is none, where it was never finished, and where one of
    its files is not as the run left it."""
    path = Path(path)
    if not (path / "run.json").is_file():
        raise RunFolderError(
            f"{path} is no run folder: it has no run.json. Give the folder that `dissect run` printed."
        )
    if not (path / "DONE").is_file():
        raise RunFolderError(
            f"{path} is not finished: it has no DONE file. Run the command that made it again to finish it."
        )
    info = read_info(path)
    check_info(path, info)
    verify(path, info["files"])
    return Run(path, info)

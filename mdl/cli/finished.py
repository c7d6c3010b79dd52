"""The commands on finished result folders: `mdl eval`, `mdl export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from data_prep.common.errors import UserError
from data_prep.common.locks import locked
from mdl.cli.options import EMBEDDED, File, Folder, decoded, open_data, session
from mdl.training.threads import THREADS

if TYPE_CHECKING:
    from mdl.results import Result

EXAMPLES = {
    "eval": "mdl eval runs/decathlon/mini/pointwise-sharing/mini-dtd",
    "export": "mdl export runs/decathlon/mini/pointwise-sharing/mini-dtd --out dtd.safetensors",
}

Finished = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]


def evaluate(
    folder: Finished,
    /,
    *,
    data: Folder = None,
    split: Literal["test", "val", "train"] = "test",
    base: File = None,
    method: str | None = None,
    network: str | None = None,
    cache: Folder = None,
    device: str = "auto",
    threads: int = THREADS,
) -> int:
    """Count again how many images of a split a finished network gets right.

    On test it writes the class of every image to predictions.csv where the folder has none that can be read; one that is there
    stays as it is.

    Args:
        folder: A finished result folder.
        data: The decathlon that it was trained on; the embedded miniature if not given.
        split: The images to count on.
        base: The base network's file, where it lies neither beside the folder nor where it lay in training.
        method: A method of your own that the folder was trained with, again as path/to/file.py:Class.
        network: A network of your own that the folder was trained on, again as package.module:factory.
        cache: Where decoded images are kept; the user's cache folder if not given.
        device: cpu, cuda, cuda:N, or auto.
        threads: Threads of the CPU. More wait for each other, many times as long beside other work.
    """
    from mdl.training.finished import evaluate_finished, open_finished

    with session(device) as group:
        finished = open_finished(folder, base=base, method=method, network=network)
        result = finished.result
        if data is None and result.data != EMBEDDED:
            raise UserError(f"{folder} was trained on {result.data}: give the folder of that decathlon with --data.")
        sets, _ = open_data(data)
        images = sets.split(result.domain, split)
        counted = evaluate_finished(finished, images, cache=decoded(cache), group=group, threads=threads)
        if group.is_first:
            others = finished.fingerprints.get(split, fingerprint := images.fingerprint()) != fingerprint
            what = f"{result.system} on {result.domain}, {split}"
            if not counted.n_test:
                print(f"{what}: the labels are withheld")
            else:
                print(f"{what}: {counted.n_correct:,} of {counted.n_test:,} right, {counted.accuracy:.2%}")
            if others:
                print(f"note: these are not the {split} images that the training had, of {result.data}.")
            elif split == result.split and counted.n_correct != result.n_correct:
                print(f"note: the training counted {result.n_correct:,}; another device may round otherwise.")
            if split == "test":
                given = dict(zip(images.image_ids.tolist(), counted.predicted.tolist(), strict=True))
                print(f"predictions: {_kept(folder, result, given, others)}")
    return 0


def _kept(folder: Path, result: Result, given: dict[int, int], others: bool) -> str:
    """Write the classes that test images were given where the folder has no file of them; what was done with them, in words.

    others: they are not the images that the folder's result is of.
    """
    from mdl.results import PREDICTION_FILE, ResultError, check_classes, read_predictions, write_predictions

    path = folder / PREDICTION_FILE
    check_classes(folder, list(given.values()), result.n_classes)
    with locked(folder, "an evaluation"):
        try:
            there = read_predictions(folder, result.n_classes)
        except ResultError:
            if others:
                return f"{path} is not written, as it would be of other images than the result beside it"
            write_predictions(folder, list(given), list(given.values()), n_classes=result.n_classes)
            return str(path)
    if there.keys() != given.keys():
        return f"{path} stays as it is, as it is of other images"
    if n_other := sum(there[number] != label for number, label in given.items()):
        return f"{path} stays as it is; {n_other:,} of {len(there):,} images have another class there"
    return str(path)


def export(
    folder: Finished,
    /,
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")],
    base: File = None,
    method: str | None = None,
    network: str | None = None,
) -> int:
    """Write one domain's network as an ordinary ResNet-26, for `dissect run --weights` and other tools.

    Args:
        folder: A finished result folder.
        out: The safetensors file to write.
        base: The base network's file, where it lies neither beside the folder nor where it lay in training.
        method: A method of your own that the folder was trained with, again as path/to/file.py:Class.
        network: A network of your own that the folder was trained on, again as package.module:factory.
    """
    from mdl.training.finished import export_finished, network_name, open_finished

    finished = open_finished(folder, base=base, method=method, network=network)
    path = export_finished(finished, out)
    result = finished.result
    folder = Path("runs") / f"{result.system}-{result.domain}"  # two exports of equal shape share no folder
    print(shlex.join(["dissect", "run", network_name(result), "--weights", str(path), "--out", str(folder)]))
    return 0

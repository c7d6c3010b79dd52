"""The commands on finished result folders: `mdl eval`, `mdl export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import tyro

from data_prep.common.errors import UserError
from data_prep.common.locks import locked
from mdl.cli.options import EMBEDDED, File, Folder, decoded, open_data, session
from mdl.training.threads import THREADS

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

    On test it writes the class of every image to the folder's predictions.csv.

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
    from mdl.results import write_predictions
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
            if split == "test":
                ids, classes = images.image_ids.tolist(), counted.predicted.tolist()
                with locked(folder, "an evaluation"):
                    write_predictions(folder, ids, classes, n_classes=result.n_classes)
            what = f"{result.system} on {result.domain}, {split}"
            if not counted.n_test:
                print(f"{what}: the labels are withheld; the classes given are in {folder / 'predictions.csv'}")
            else:
                print(f"{what}: {counted.n_correct:,} of {counted.n_test:,} right, {counted.accuracy:.2%}")
            if split == result.split and counted.n_correct != result.n_correct:
                print(f"note: the training counted {result.n_correct:,}; another device may round otherwise.")
    return 0


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

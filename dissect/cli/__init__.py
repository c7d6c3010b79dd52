"""The command `dissect`: run, layers, report, export."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import tyro

from data_prep.common import command
from data_prep.common.command import Tool
from data_prep.common.devices import usable_device
from data_prep.common.errors import UserError
from data_prep.common.files import slug
from dissect.arguments import check_input

if TYPE_CHECKING:
    from dissect.models import Network

EXAMPLES = {
    "run": "dissect run --domains gtsrb omniglot --layers 18 20 22 --out runs/signs-and-letters",
    "layers": "dissect layers mdl:imagenet12",
    "report": "dissect report runs/embedded-imagenet12-cifar100-individual-18-20-22",
    "export": "dissect export runs/embedded-imagenet12-cifar100-individual-18-20-22 --out tally",
}
DEFAULT_NETWORKS = ("imagenet12", "cifar100-individual")
"""The shipped networks that stand for the two of the paper's Figures 5 and 6."""


def run(
    networks: tyro.conf.Positional[tuple[str, ...]] = (),
    /,
    layers: tuple[str, ...] = ("18", "20", "22"),
    ops: tuple[Literal["depthwise", "pointwise", "conv"], ...] = (),
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    weights: tuple[Path, ...] = (),
    names: tuple[str, ...] = (),
    domains: tuple[str, ...] = (),
    quantile: float = 0.995,
    iou_cut: float = 0.04,
    tap: Literal["conv", "bn", "relu"] = "conv",
    upsample: Literal["half-pixel", "receptive-field"] = "half-pixel",
    union: Literal["category", "all-images", "touched"] = "category",
    categories: tuple[str, ...] = (),
    split: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    rotate: Annotated[int | None, tyro.conf.arg(metavar="SEED")] = None,
    folds: int = 1,
    image_size: tuple[int, ...] = (),
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    strongest: int = 8,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 4,
    workers: int = 2,
    memory: float = 0.5,
    on_bad_image: Literal["skip", "fail"] = "fail",
    overwrite: bool = False,
) -> int:
    """Find the concept that each unit of the chosen layers detects, and write tables, figures and a report.

    With nothing but --layers it dissects two trained networks that come with it, separable ResNet-26 of ImageNet and of
    CIFAR-100 images, on the embedded miniature Broden.

    Args:
        networks: Networks by name: mdl:NAME (trained: imagenet12, cifar100-individual, cifar100, dtd, gtsrb, omniglot,
            vgg-flowers; untrained: separable, plain), efficientnet_lite0, torchvision:NAME, timm:NAME,
            package.module:factory or path/to/file.py:factory; arguments after commas, as in mdl:separable,width=32.
            mdl:imagenet12 and mdl:cifar100-individual if none is given.
        layers: Convolution numbers, module names or globs; `dissect layers NETWORK` lists them.
        ops: Keep only layers with these operators.
        data: A label set in the Broden layout; the embedded one if not given.
        out: The run folder; runs/DATA-NETWORKS-LAYERS[-rotated-SEED] if not given.
        weights: A safetensors file or state dict for each network, in their order.
        names: A name for each network, in the tables and figures.
        domains: If no network is given, the trained ones to dissect, such as imagenet12 gtsrb; else the visual domain that
            each network was trained on, in the tables and figures.
        quantile: Level of the threshold: 0.995 keeps the top 0.5 % of a unit's activations.
        iou_cut: A unit is a detector if its best IoU is above this.
        tap: Where convolutions are tapped: their output, after the BatchNorm that follows, or after the ReLU after that.
        upsample: Half-pixel centres, or cells anchored at the centres of their receptive fields.
        union: Images in which a mask's area counts: those with the concept's category, all, or those it touches.
        categories: Use only these label categories.
        split: Use only this split of the data, such as val.
        rotate: Dissect each layer in a basis rotated at random from this seed: the control of Bau et al. 2017 for whether
            concepts align with single units.
        folds: Keep counts by this many folds of the images too, for 95 % intervals (a jackknife over images); 10 is usual.
        image_size: Side, or height and width, that images are resized to; the network's own if not given.
        mean: Mean of red, green and blue in 0..1 that images are normalised by; the network's own if not given.
        std: Standard deviation likewise.
        strongest: StrongestMasks images kept for each unit.
        seed: Seed of untrained networks.
        device: cpu, cuda, cuda:N, or auto.
        batch_size: Images a forward pass; on a CPU a small batch is the fast one.
        workers: Threads that read images and count.
        memory: GiB for activations that wait for their threshold; past it they go to the run folder's disk.
        on_bad_image: What to do with an image or label map that cannot be used.
        overwrite: Replace a run folder made with other settings.
    """
    # Drawing the embedded set forks processes, so it comes before anything that starts threads.
    label_root, label_name = (data, None) if data else (_embedded(), "embedded")

    from data_prep.broden import open_broden
    from data_prep.common.terminal import progress_bars
    from dissect import pipeline as runs
    from dissect.run_store import read_info
    from dissect.settings import Execution, Settings

    settings = Settings(
        quantile=quantile, iou_cut=iou_cut, tap=tap, upsample=upsample, union=union, split=split, categories=categories,
        strongest=strongest, rotate=rotate, folds=folds,
    )  # fmt: skip
    execution = Execution(
        device=usable_device(device), batch_size=batch_size, workers=workers, memory=memory, on_bad_image=on_bad_image
    )
    label_set = open_broden(label_root, split, settings.categories or None)
    label_set.name = label_name or label_set.name
    loaded = _load(networks, weights, names, domains, image_size, mean, std, seed)
    folder = out or Path("runs") / "-".join(
        [label_set.name, *(network.name for network in loaded), *map(slug, layers)]
        + ([] if rotate is None else [f"rotated-{rotate}"])
    )
    given = shlex.join(["dissect", *sys.argv[1:]])
    was_done = (folder / "DONE").exists() and not overwrite
    with progress_bars() as progress:
        runs.run(loaded, label_set, layers, settings, folder, ops or None, execution, progress, seed, given, overwrite)
    if was_done:
        print(f"{folder} was already finished with these settings; --overwrite makes it anew.")
    skipped = read_info(folder)["data"]["skipped"]
    if skipped:
        print(
            f"note: {len(skipped)} of {len(label_set.images)} images were left out; the first: {skipped[0]['reason']}"
        )
    return report(folder)


def layers(
    network: tyro.conf.Positional[str] = f"mdl:{DEFAULT_NETWORKS[0]}",
    everything: bool = False,
    image_size: tuple[int, ...] = (),
) -> int:
    """List the layers of a network that can be tapped, with the numbers and names by which --layers takes them.

    Args:
        network: A network by name, as in `dissect run`.
        everything: List every module that fires, not only convolutions.
        image_size: Side, or height and width, of the input; the network's own if not given.
    """
    from data_prep.common.terminal import print_table
    from dissect.layers import list_layers

    loaded = _load((network,), (), (), (), image_size, (), (), 0)[0]
    rows = []
    for layer in list_layers(loaded.model, loaded.input_size):
        if layer.numbered or everything:
            size = f"{layer.shape[1]} x {layer.shape[2]}" if layer.shape else f"none: {layer.output}"
            number = layer.label if layer.numbered else ""
            rows.append((number, layer.operator, layer.module, str(layer.n_units or ""), size))
    print_table(("number", "operator", "module", "units", "map"), rows)
    return 0


def report(folder: tyro.conf.Positional[Path]) -> int:
    """Draw the figures and the report of a finished run folder anew, and print its short table.

    Args:
        folder: A run folder.
    """
    from data_prep.common.terminal import print_table
    from dissect.run_store import open_run
    from reports.page import write_report
    from reports.summary import populations

    finished = open_run(folder)
    page = write_report(folder)
    for note in finished.info.get("notes", ()):
        print(f"note: {note}")
    print(f"detectors: best IoU > {finished.info['settings']['iou_cut']}; unique: distinct concepts among them")
    rows = [
        (
            layer.network, layer.layer, layer.operator, str(layer.n_units), str(layer.n_detectors),
            f"{layer.detector_share:.1%}", str(len(layer.attributes)), str(layer.n_dead),
        )
        for layer in populations(finished)
    ]  # fmt: skip
    print_table(("network", "layer", "operator", "units", "detectors", "share", "unique", "dead"), rows)
    print(f"report: {page}")
    return 0


def export(
    folder: tyro.conf.Positional[Path], out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("tally")
) -> int:
    """Write NetDissect's tally.csv for every layer of a finished run.

    Args:
        folder: A run folder.
        out: Where the files go: DIR/NETWORK/LAYER-OPERATOR/tally.csv.
    """
    from dissect.netdissect_tally import export_tally
    from dissect.run_store import open_run

    for path in export_tally(open_run(folder), out):
        print(path)
    return 0


TOOL = Tool(
    "dissect",
    "Which concepts do the units of a network detect? Network dissection (Bau et al. 2017).",
    {"run": run, "layers": layers, "report": report, "export": export},
    EXAMPLES,
)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    command.main(TOOL, args)


def _embedded() -> Path:
    """The embedded miniature Broden, drawn first where it is not there yet."""
    from data_prep.common.terminal import progress_bars
    from data_prep.mini_broden import ensure

    with progress_bars() as progress:
        return ensure(progress=lambda done, total: progress("drawing", done, total))


def _load(
    specs: Sequence[str],
    weights: Sequence[Path],
    names: Sequence[str],
    domains: Sequence[str],
    image_size: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
) -> list[Network]:
    """The networks, each with what the options say of it."""
    from dissect.models import load_network

    if not specs:
        specs, domains = _shipped(domains), ()
    for option, values in (("--weights", weights), ("--names", names), ("--domains", domains)):
        if values and len(values) != len(specs):
            raise UserError(
                f"{option} has {len(values)} values for {len(specs)} networks: give one for each, in their order."
            )
    check_input(image_size, mean, std)
    builders = {"mdl": lambda name, **arguments: _mdl_network(name, seed, arguments)}
    networks = []
    for n, spec in enumerate(specs):
        network = load_network(spec, weights[n] if weights else None, names[n] if names else None, builders, seed)
        wishes = {
            "domain": domains[n] if domains else network.domain,
            "input_size": (image_size[0], image_size[-1]) if image_size else network.input_size,
            "mean": tuple(mean) or network.mean,
            "std": tuple(std) or network.std,
        }
        networks.append(replace(network, **wishes))
    return networks


def _shipped(names: Sequence[str]) -> list[str]:
    """The shipped networks of these names as `load_network` takes them; the paper's two if there is none."""
    from data_prep.common.errors import choose
    from mdl.shipped.reader import shipped

    known = shipped()
    for name in names:
        choose("name among --domains", name, known)
    return [f"mdl:{name}" for name in names or DEFAULT_NETWORKS]


def _mdl_network(name: str, seed: int, arguments: dict[str, object]) -> Network:
    """`mdl:separable` and `mdl:plain`, untrained, from a seed; else a trained network that comes with the package."""
    from data_prep.common.errors import choose
    from dissect.models import ModelError, Network
    from mdl.networks.resnet26 import plain_resnet26, separable_resnet26
    from mdl.shipped.reader import load_shipped, shipped

    builders = {"separable": separable_resnet26, "plain": plain_resnet26}
    if name not in builders:
        choose("network of mdl", name, [*builders, *shipped()])
        if arguments:
            raise ModelError(
                f"mdl:{name} is trained and takes no arguments; mdl:separable takes width, classes and seed."
            )
        model, facts = load_shipped(name)
        # Images enter as large as those on which the accuracy was counted: 72 x 72 where the recipe has the paper's input.
        return Network(
            name, "", model, facts.input_size, facts.mean, facts.std, trained=True, domain=facts.domain, note=facts.note,
            weights=facts.file,
        )  # fmt: skip
    arguments = {"n_classes": arguments.pop("classes", 1000), "seed": seed, **arguments}
    try:
        model = builders[name](**arguments)
    except TypeError as error:
        raise ModelError(f"mdl:{name} takes the arguments width, classes and seed ({error}).") from None
    note = (
        f"The network {name} is untrained (random weights from seed {arguments['seed']}): its detectors show what chance "
        f"gives, not what training learns. Give trained weights with --weights."
    )
    return Network(name, "", model, (72, 72), trained=False, domain="untrained", note=note)

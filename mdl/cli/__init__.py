"""The command `mdl`: train networks for many visual domains, evaluate and export them, count, score and compare them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import tyro

from data_prep.common import command
from data_prep.common.command import Tool
from data_prep.common.errors import UserError
from data_prep.common.terminal import print_table
from mdl.cli import counting

if TYPE_CHECKING:
    from mdl.results import Result
    from mdl.training.display import Display
    from mdl.training.one_domain import DomainSets, Setting

Folder = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]
Settings = Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="KEY=VALUE")]
Options = Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE")]
Backbone = Literal["separable", "plain"]


@dataclass(frozen=True)
class TrainingOptions:
    """How to train, whatever it is that is trained.

    Args:
        data: A decathlon in the official layout; the embedded miniature if not given.
        recipe: paper, released, study, mini, mini-fast, or a TOML file.
        settings: Values of the recipe to set otherwise, such as lr=0.05 epochs=3 train.batch_size=64.
        cache: Where decoded images are kept; the user's cache folder if not given.
        device: cpu, cuda, cuda:N, or auto.
        threads: Threads of the CPU; PyTorch's own choice if not given.
        resume: Go on with runs that the folders hold; --no-resume begins anew, but for base networks of a whole row.
    """

    data: Folder = None
    recipe: str = "mini"
    settings: Settings = ()
    cache: Folder = None
    device: str = "auto"
    threads: int | None = None
    resume: bool = True


How = Annotated[TrainingOptions, tyro.conf.arg(name="")]

EMBEDDED = "mini"
"""What the embedded miniature decathlon is called in results and folders."""

EXAMPLES = {
    "pretrain": "mdl pretrain --recipe mini-fast --set epochs=2",
    "train": "mdl train --domain mini-dtd --method pointwise-sharing --recipe mini-fast",
    "decathlon": "mdl decathlon --method pointwise-sharing --recipe mini-fast",
    "eval": "mdl eval runs/decathlon/mini/pointwise-sharing/mini-dtd",
    "export": "mdl export runs/decathlon/mini/pointwise-sharing/mini-dtd --out dtd.safetensors",
    "domains": "mdl domains",
    **counting.EXAMPLES,
}


def pretrain(
    network: Backbone = "separable",
    domain: str | None = None,
    prepare_for: str | None = None,
    out: Folder = None,
    how: How = TrainingOptions(),
) -> int:
    """Train a base network, which the sharing methods start from.

    Args:
        network: The ResNet-26 to train.
        domain: The domain to train on; imagenet12 or mini-imagenet12 if not given.
        prepare_for: Put this method's modules into the network before training; series-adapters wants that.
        out: The result folder; runs/decathlon/DATA/base-NETWORK/DOMAIN if not given.
    """
    from mdl.training import one_domain as run
    from mdl.training.decathlon import base_domain, base_folder

    with _setting(how) as (setting, root, display):
        domain = domain or base_domain(setting.data)
        folder = out or base_folder(root, network, prepare_for or "", domain)
        display.begin(f"base network, {domain}")
        _tell(setting, run.pretrain(setting, folder, domain, network, prepare_for), folder)
    return 0


def train(
    domain: str,
    method: str,
    base: Annotated[Path | None, tyro.conf.arg(metavar="DIR|FILE")] = None,
    options: Options = (),
    sources: tuple[Path, ...] = (),
    network: Backbone | None = None,
    out: Folder = None,
    how: How = TrainingOptions(),
) -> int:
    """Train one domain on a base network with one sharing method.

    Args:
        domain: The domain, such as dtd; `mdl domains` lists them.
        method: The sharing method, such as pointwise-sharing.
        base: The base network: the folder of `mdl pretrain` or a file; the one in runs/decathlon/DATA if not given.
        options: The method's options, such as controller=diagonal or region=late.
        sources: For soft-sharing, the domains that it mixes: folders of `mdl train`; all that stand beside if not given.
        network: The ResNet-26 whose base network is taken, where --base is not given; that of the method's paper.
        out: The result folder; runs/decathlon/DATA/SYSTEM/DOMAIN if not given.
    """
    from data_prep.common.errors import choose
    from mdl.networks.sharing import METHODS
    from mdl.networks.sharing.base import backbone as backbone_of
    from mdl.training import one_domain as run
    from mdl.training.decathlon import SOURCE, base_domain, base_folder, check_choice, domain_files

    choose("method", method, METHODS)
    chosen = _options(options)
    with _setting(how) as (setting, root, display):
        choose("domain", domain, setting.data.domains)
        if base is None:
            kind = network or METHODS[method].published_on
            check_choice(method, chosen, kind)
            base = base_folder(root, kind, method, base_domain(setting.data))
            if not (base / run.BODY_FILE).exists():
                raise UserError(
                    f"There is no base network in {base}: make one with `mdl pretrain`, or give it with --base."
                )
        body = base / run.BODY_FILE if base.is_dir() else base
        files = [path / run.DOMAIN_FILE if path.is_dir() else path for path in sources]
        if method == "soft-sharing" and not files:
            files = domain_files(root, SOURCE)
        net, _ = run.open_network(body, method, chosen, files)
        system = run.system_name(net.method, backbone_of(net.body))
        folder = out or root / system / domain
        display.begin(f"{system}, {domain}")
        _tell(setting, run.train_domain(setting, folder, domain, method, body, chosen, files), folder)
    return 0


def decathlon(
    method: str,
    options: Options = (),
    network: Backbone | None = None,
    domains: tuple[str, ...] = (),
    out: Folder = None,
    how: How = TrainingOptions(),
) -> int:
    """Train one row of the table: the base network and all domains with one method, skipping what is done.

    The same command goes on where it was interrupted.

    Args:
        method: The sharing method, such as pointwise-sharing.
        options: The method's options, such as controller=diagonal or region=late.
        network: The ResNet-26 to use; that of the method's paper if not given.
        domains: Only these domains besides the base domain.
        out: The folder of all systems; runs/decathlon/DATA if not given.
    """
    from mdl.training.decathlon import run_row

    with _setting(how) as (setting, root, display):
        results = run_row(setting, out or root, method, _options(options), network, domains, display.begin)
        if setting.group.is_first:
            for result in results:
                print(_line(result))
            print(f"table: mdl table {out or root}")
    return 0


def evaluate(
    folder: tyro.conf.Positional[Path],
    data: Folder = None,
    split: Literal["test", "val", "train"] = "test",
    base: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    cache: Folder = None,
    device: str = "auto",
    threads: int | None = None,
) -> int:
    """Count again how many images of a split a finished network gets right.

    On test it writes the class of every image to the folder's predictions.csv.

    Args:
        folder: A finished result folder.
        data: The decathlon that it was trained on; the embedded miniature if not given.
        split: The images to count on.
        base: The base network's file, where it does not lie beside the folder.
        cache: Where decoded images are kept; the user's cache folder if not given.
        device: cpu, cuda, cuda:N, or auto.
        threads: Threads of the CPU; PyTorch's own choice if not given.
    """
    from mdl.results import write_predictions
    from mdl.training.finished import evaluate_kept, open_kept

    with _session(device, threads) as group:
        kept = open_kept(folder, base)
        if data is None and kept.result.data != EMBEDDED:
            raise UserError(
                f"{folder} was trained on {kept.result.data}: give the folder of that decathlon with --data."
            )
        sets, _ = _open_data(data)
        images = sets.split(kept.result.domain, split)
        counted = evaluate_kept(kept, images, _decoded(cache), group)
        if group.is_first:
            if split == "test":
                write_predictions(folder, images.image_ids.tolist(), counted.predicted.tolist())
            what = f"{kept.result.system} on {kept.result.domain}, {split}"
            if not counted.n_test:
                print(f"{what}: the labels are withheld; the classes given are in {folder / 'predictions.csv'}")
            else:
                print(f"{what}: {counted.n_correct:,} of {counted.n_test:,} right, {counted.accuracy:.2%}")
            if split == kept.result.split and counted.n_correct != kept.result.n_correct:
                print(f"note: the training counted {kept.result.n_correct:,}; another device may round otherwise.")
    return 0


def export(
    folder: tyro.conf.Positional[Path],
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")],
    base: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> int:
    """Write one domain's network as an ordinary ResNet-26, for `dissect run --weights` and other tools.

    Args:
        folder: A finished result folder.
        out: The safetensors file to write.
        base: The base network's file, where it does not lie beside the folder.
    """
    from mdl.training.finished import export_kept, open_kept

    kept = open_kept(folder, base)
    path = export_kept(kept, out)
    result = kept.result
    network = f"mdl:{result.backbone},width={result.width},classes={result.n_classes}"
    print(f"dissect run {network} --weights {path} --domains {result.domain}")
    return 0


def domains(data: Folder = None, recipe: str = "mini") -> int:
    """List the domains of a decathlon: classes, images, and how their images enter a network.

    Args:
        data: A decathlon in the official layout; the embedded miniature if not given.
        recipe: The recipe whose sizes, weight decays and dropouts to show.
    """
    from mdl.training.recipe import load_recipe

    sets, _ = _open_data(data)
    chosen = load_recipe(recipe)
    rows = []
    for name in sets.domains:
        splits = [_count(sets, name, split) for split in ("train", "val", "test")]
        plan = chosen.plan("train", name)
        rules = plan.input_rules
        size = f"{rules.resize[0]} x {rules.resize[1]}" if isinstance(rules.resize, tuple) else str(rules.resize)
        crop = "none" if rules.train_crop is None else f"{'random' if rules.random else 'centre'} {rules.train_crop}"
        n_classes = str(len(sets.split(name, "train").class_names)) if splits[0] != "-" else "-"
        rows.append([name, n_classes, *splits, size, crop, f"{plan.weight_decay:g}", f"{plan.dropout:g}"])
    header = ["domain", "classes", "train", "val", "test", "resize", "crop", "weight decay", "dropout"]
    print_table(header, rows, numbers=(1, 2, 3, 4, 7, 8))
    return 0


TOOL = Tool(
    "mdl",
    "Networks for many visual domains: train, share, count, score and compare them.",
    {
        "pretrain": pretrain,
        "train": train,
        "decathlon": decathlon,
        "eval": evaluate,
        "export": export,
        "domains": domains,
        **counting.COMMANDS,
    },
    EXAMPLES,
    interrupted="interrupted: what was finished is kept; the same command resumes after the last whole epoch.",
)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    command.main(TOOL, args)


@contextmanager
def _setting(how: TrainingOptions) -> Iterator[tuple[Setting, Path, Display]]:
    """(setting, the folder of all systems on this data, the display) for a training command."""
    from mdl.training.one_domain import Setting
    from mdl.training.recipe import load_recipe

    recipe = load_recipe(how.recipe, how.settings)
    # Drawing the embedded set forks processes, so it comes before anything that starts threads.
    sets, name = _open_data(how.data)
    from mdl.training.display import Display

    with _session(how.device, how.threads) as group, Display() as display:
        cache = _decoded(how.cache)
        setting = Setting(sets, name, recipe, group, cache, display, not how.resume, display.decoding)
        yield setting, Path("runs") / "decathlon" / name, display


@contextmanager
def _session(device: str, threads: int | None) -> Iterator[object]:
    import torch

    from mdl.training.processes import processes

    if threads is not None:
        if threads < 1:
            raise UserError(f"--threads is {threads}; it must be at least 1.")
        torch.set_num_threads(threads)
    with processes(device) as group:
        yield group


def _open_data(data: Path | None) -> tuple[DomainSets, str]:
    """(the decathlon, its name in results and folders)."""
    from data_prep.decathlon import open_decathlon

    if data is None:
        from data_prep.mini_decathlon import ensure

        return open_decathlon(ensure()), EMBEDDED
    return open_decathlon(data), data.resolve().name


def _decoded(cache: Path | None) -> Path:
    """The folder of decoded images: the one that was given, or `decoded` in the user's cache."""
    from data_prep.drawn_sets import cache_folder

    return cache or cache_folder() / "decoded"


def _options(texts: Sequence[str]) -> Mapping[str, object]:
    """`region=late rank=4` as a method's options, values as TOML writes them."""
    from mdl.training.recipe import as_value

    options: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"{text!r} is no option: write KEY=VALUE, such as region=late.")
        options[key] = as_value(value)
    return options


def _count(sets: DomainSets, domain: str, split: str) -> str:
    try:
        return f"{len(sets.split(domain, split)):,}"
    except UserError:
        return "-"


def _tell(setting: Setting, result: Result, folder: Path) -> None:
    if setting.group.is_first:
        print(_line(result))
        print(f"result: {folder}")


def _line(result: Result) -> str:
    return (
        f"{result.system}, {result.domain}: {result.accuracy:.2%} on {result.split} ({result.n_correct:,} of {result.n_test:,}), "
        f"trained on {result.trained_on}, {result.cost.epochs} epochs, {result.cost.seconds:,.0f} s"
    )

"""`dissect run`: networks by name, the data, one library call, the report."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from data_prep.common.command import given
from data_prep.common.errors import UserError, choose
from data_prep.common.files import at_home, slug
from data_prep.common.launcher import start_processes
from dissect.cli.report import report
from dissect.settings import LAYERS, Execution, Settings

if TYPE_CHECKING:
    from data_prep import LabelledImages
    from dissect.models import Network

DEFAULT_NETWORKS = ("imagenet12", "cifar100-individual")
"""The shipped networks that stand for the two of the paper's Figures 5 and 6."""


def run(
    networks: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NETWORK ...]")] = (),
    /,
    *,
    layers: tuple[str, ...] = LAYERS,
    operators: Annotated[tuple[Literal["depthwise", "pointwise", "conv"], ...], tyro.conf.arg(aliases=("--ops",))] = (),
    data: Annotated[str | None, tyro.conf.arg(metavar="DIR|FACTORY")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    weights: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[FILE|-|NETWORK=FILE ...]")] = (),
    names: tuple[str, ...] = (),
    domains: tuple[str, ...] = (),
    image_size: tuple[int, ...] = (),
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    seed: int = 0,
    settings: tyro.conf.OmitArgPrefixes[Settings] = Settings(),  # noqa: B008  frozen
    execution: tyro.conf.OmitArgPrefixes[Execution] = Execution(),  # noqa: B008  frozen
    processes: int = 1,
    overwrite: bool = False,
) -> int:
    """Find the concept that each unit of the chosen layers detects, and write tables, figures and a report.

    With nothing but --layers it dissects two trained networks that come with it, separable ResNet-26 of ImageNet and of
    CIFAR-100 images, on the embedded miniature Broden.

    Args:
        networks: Networks by name: mdl:NAME (trained: imagenet12, cifar100-individual, cifar100, dtd, gtsrb, omniglot,
            vgg-flowers; untrained: separable, plain), efficientnet_lite0, torchvision:NAME, timm:NAME,
            package.module:factory or path/to/file.py:factory; arguments after commas, as in mdl:separable,width=32.
            Trained weights are downloaded where asked for: torchvision:NAME,weights=DEFAULT, timm:NAME,pretrained=true.
            mdl:imagenet12 and mdl:cifar100-individual if none is given. They may also stand behind the layers.
        layers: Convolution numbers, module names or globs; `dissect layers NETWORK` lists them.
        operators: Keep only layers with these operators.
        data: A label set in the Broden layout, or one of your own code as package.module:factory or path/to/file.py:factory; the
            embedded one if not given.
        out: The run folder; runs/DATA-NETWORKS-LAYERS[-rotated-SEED] if not given.
        weights: A safetensors file or PyTorch checkpoint for each network, in their order, - for one that keeps its own; or
            NETWORK=FILE for some of them. What a safetensors file says of its images (mdl export writes it) is used.
        names: A name for each network, in the tables and figures.
        domains: If no network is given, the trained ones to dissect, such as imagenet12 gtsrb; else the visual domain that
            each network was trained on, in the tables and figures.
        image_size: Side, or height and width, that images are resized to; what the file of the weights says if not given,
            else the network's library; dissect layers NETWORK tells which.
        mean: Mean of red, green and blue in 0..1 that images are normalised by; found in the same way if not given.
        std: Standard deviation by which they are divided then, in the same way.
        seed: Seed of untrained networks.
        processes: So many processes share the images, each on its own GPU or CPUs; the result is the same.
        overwrite: Replace a run folder made with other settings.
    """
    # Drawing the embedded set forks processes, so it comes before anything that starts threads.
    label_set = _open_labels(data, settings)
    if (status := start_processes(processes, "dissect", given())) is not None:
        return status

    import dissect
    from data_prep.common.processes import joined
    from data_prep.common.terminal import printable, progress_bars, silent
    from dissect.families import is_network

    # No module has a colon in its name, so a network is told from a layer, on whichever side of --layers it stands.
    networks += tuple(word for word in layers if is_network(word))
    layers = tuple(word for word in layers if not is_network(word))
    loaded = load(
        networks, weights=weights, names=names, domains=domains, image_size=image_size, mean=mean, std=std, seed=seed
    )
    folder = out or Path("runs") / _folder_name(
        [label_set.name, *(network.name for network in loaded), *map(slug, layers)]
        + ([] if settings.rotate is None else [f"rotated-{settings.rotate}"])
    )
    was_done = (folder / "DONE").exists() and not overwrite
    with joined(execution.device) as group, progress_bars() if group.is_first else nullcontext(silent) as progress:
        finished = dissect.run(
            loaded, label_set, layers=layers, operators=operators, out=folder, settings=settings, execution=execution,
            overwrite=overwrite, progress=progress, recorded={"command": shlex.join(["dissect", *given()])}, group=group,
        )  # fmt: skip
    if not group.is_first:
        return 0
    if was_done:
        print(f"{folder} was already finished with these settings; --overwrite makes it again.")
    skipped = finished.info["data"]["skipped"]
    if skipped:
        print(
            f"note: {len(skipped)} of {len(label_set.images)} images were left out; the first: {printable(skipped[0]['reason'])}"
        )
    return report((folder,))


def load(
    specs: Sequence[str],
    *,
    weights: Sequence[str] = (),
    names: Sequence[str] = (),
    domains: Sequence[str] = (),
    image_size: Sequence[int] = (),
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    seed: int = 0,
) -> list[Network]:
    """The networks, each with what the options say of it; without any, the shipped ones of the domains."""
    from dissect.models import load_network

    if not specs:
        specs, domains = _shipped(domains), ()
    files = _files(weights, specs, names)
    for option, values in (("--weights", files), ("--names", names), ("--domains", domains)):
        if values and len(values) != len(specs):
            raise UserError(
                f"{option} has {len(values)} values for {len(specs)} networks: give one for each, in their order."
            )
    return [
        load_network(
            spec,
            weights=files[n] if files else None,
            name=names[n] if names else None,
            domain=domains[n] if domains else None,
            image_size=image_size or None,
            mean=mean or None,
            std=std or None,
            seed=seed,
        )
        for n, spec in enumerate(specs)
    ]


def _files(weights: Sequence[str], specs: Sequence[str], names: Sequence[str]) -> list[Path | None]:
    """The file of weights of each network, None for one that keeps its own.

    >>> _files(["-", "a.pth"], ["one", "two"], [])
    [None, PosixPath('a.pth')]
    >>> _files(["two,width=4=a.pth"], ["one", "two,width=4"], [])
    [None, PosixPath('a.pth')]
    """
    known = [*specs, *names]
    named = {spec: word[len(spec) + 1 :] for word in weights for spec in known if word.startswith(f"{spec}=")}
    if not named:
        return [None if word == "-" else at_home(word) for word in weights]
    if len(named) != len(weights):
        raise UserError(
            "--weights has a file for a network by name and one without, or two for one: give each as NETWORK=FILE, or one "
            "file for each network, in their order."
        )
    found = [named.get(spec) or (named.get(names[n]) if names else None) for n, spec in enumerate(specs)]
    return [at_home(word) if word else None for word in found]


def _folder_name(parts: Sequence[str]) -> str:
    """Joined by "-"; one too long for a file system is cut, and what was cut stands as a hash.

    >>> _folder_name(["embedded", "small", "18"]), len(_folder_name(["layer"] * 100))
    ('embedded-small-18', 120)
    """
    name = "-".join(parts)
    if len(name) <= 120:
        return name
    return f"{name[:109].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def _open_labels(data: str | None, settings: Settings) -> LabelledImages:
    """The label set in the folder `data`, or of that factory; else the embedded one, drawn first where it is not there yet."""
    from data_prep import open_broden, open_embedded
    from data_prep.common.terminal import progress_bars
    from data_prep.from_factory import is_factory, labels_from_factory

    chosen = settings.split, settings.categories or None
    if data and is_factory(data):
        return labels_from_factory(data, *chosen)
    if data:
        return open_broden(at_home(data), *chosen)
    with progress_bars() as progress:
        return open_embedded(*chosen, progress=progress)


def _shipped(names: Sequence[str]) -> list[str]:
    """The shipped networks of these names as `load_network` takes them; the paper's two if there is none."""
    from mdl.shipped.reader import shipped_networks

    known = shipped_networks()
    for name in names:
        choose("name among --domains", name, known)
    return [f"mdl:{name}" for name in names or DEFAULT_NETWORKS]

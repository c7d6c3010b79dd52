"""What several commands of `mdl` take, and the session and the data that it stands for. Imports no torch until it is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from data_prep.common.errors import UserError
from data_prep.common.files import at_home
from mdl.training.threads import THREADS

if TYPE_CHECKING:
    from mdl.training.display import Display
    from mdl.training.one_domain import DomainSets, Setting
    from mdl.training.processes import Processes

Folder = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
Overrides = Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="KEY=VALUE")]
MethodOptions = Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE")]
Backbone = Literal["separable", "plain"]

SHIPPED = "mdl:"
"""Before the name of a network that comes along."""

EMBEDDED = "mini"
"""What the embedded miniature decathlon is called in results and folders."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How to train, whatever it is that is trained.

    Args:
        data: A decathlon in the official layout; the embedded miniature if not given.
        recipe: paper, released, study, mini, mini-fast, own, or a TOML file; mini if not given, and own on a base network
            that comes along or with --network.
        overrides: Values of the recipe to set otherwise, such as lr=0.05 epochs=3 train.batch_size=64.
        cache: Where decoded images are kept; the user's cache folder if not given.
        device: cpu, cuda, cuda:N, or auto.
        threads: Threads of the CPU, for each process. More wait for each other, many times as long beside other work; and another
            number rounds otherwise.
        processes: So many processes share each batch, each on its own GPU or CPUs.
        overwrite: Start over where a folder holds a run, which is resumed otherwise; base networks of a whole row are kept.
    """

    data: Folder = None
    recipe: str | None = None
    overrides: Overrides = ()
    cache: Folder = None
    device: str = "auto"
    threads: int = THREADS
    processes: int = 1
    overwrite: bool = False


How = Annotated[TrainingOptions, tyro.conf.arg(name="")]
DEFAULTS = TrainingOptions()


@contextmanager
def training_setting(how: TrainingOptions, base: str | None = None) -> Iterator[tuple[Setting, Path, Display]]:
    """(setting, the folder of all systems on this data, the display) for a training command.

    base: what `--base` or `--network` gives.
    """
    from mdl.training.one_domain import Setting
    from mdl.training.recipe import load_recipe

    comes_along = base is not None and not Path(base).exists()
    recipe = load_recipe(how.recipe or ("own" if comes_along else "mini"), how.overrides)
    # Drawing the embedded set forks processes, so it comes before anything that starts threads.
    sets, name = open_data(how.data)
    from mdl.training.display import Display

    with session(how.device) as group, Display() as display:
        setting = Setting(
            data=sets,
            name=name,
            recipe=recipe,
            group=group,
            cache=decoded(how.cache),
            threads=how.threads,
            watch=display,
            overwrite=how.overwrite,
            progress=display.progress,
        )
        yield setting, Path("runs") / "decathlon" / name, display


@contextmanager
def session(device: str) -> Iterator[Processes]:
    """The processes that work together."""
    from mdl.training.processes import processes

    with processes(device) as group:
        yield group


def open_data(data: Path | None) -> tuple[DomainSets, str]:
    """(the decathlon, its name in results and folders)."""
    from data_prep import open_decathlon, open_embedded_decathlon

    if data is None:
        return open_embedded_decathlon(), EMBEDDED
    return open_decathlon(data), data.resolve().name


def base_network(base: str) -> Path:
    """The file that `--base` means: mdl:NAME of a network that comes along, a folder of `mdl pretrain`, or a file."""
    from mdl.shipped.reader import base_file
    from mdl.training.one_domain import BODY_FILE

    if base.startswith(SHIPPED):
        return base_file(base.removeprefix(SHIPPED))
    path = at_home(base)
    return path / BODY_FILE if path.is_dir() else path


def base_or_network(root: Path, base: str | None, network: str | None, weights: Path | None) -> str | None:
    """The base that is meant: that of `--base`, or the file that the network of `--network` is kept in below `root`."""
    from mdl.networks.sharing.systems import backbone_word
    from mdl.training.one_domain import keep_body

    if network is None:
        if weights is not None:
            raise UserError("--weights are those of --network: give the network too, such as torchvision:mobilenet_v2.")
        return base
    if base is not None:
        raise UserError("--base and --network both say what the domains share: give one of the two.")
    return str(keep_body(root / f"base-{backbone_word(network)}", network, weights))


def own_code(network: str | None) -> str | None:
    """The network where it is a factory of the user's own, whose code is run because the user said so."""
    from mdl.networks.named import COME_ALONG

    return None if network is None or network.startswith(COME_ALONG) else network


def decoded(cache: Path | None) -> Path:
    """The folder of decoded images: the one that was given, or `decoded` in the user's cache."""
    from data_prep.common.caches import DECODED, cache_folder

    return cache or cache_folder() / DECODED


def method_options(texts: Sequence[str]) -> dict[str, object]:
    """A method's options, values as TOML writes them.

    >>> method_options(["region=late", "rank=4"])
    {'region': 'late', 'rank': 4}
    """
    from mdl.training.recipe import as_value

    options: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"{text!r} is no option: write KEY=VALUE, such as region=late.")
        options[key] = as_value(value)
    return options

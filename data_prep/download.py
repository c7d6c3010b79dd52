"""Fetch the official visual decathlon: resumable, checked by sha256, extracted without trust, each file at once or not at all.

    for line in download_decathlon("data/decathlon", ["dtd", "svhn"]):
        print(line)

What lies there afterwards opens with `open_decathlon`: `annotations/*.json`, one tar for each domain in `data/` (read in place,
never unpacked), `mean_std.json` with the published values, and the archives in `downloads/`, which may then be deleted.
ImageNet's pictures may not be passed on; `IMAGENET_ADVICE` says where to get them.

Sizes and checksums are those that TensorFlow Datasets records for the official files; `visual_domain_decathlon` there.
"""

from __future__ import annotations

import errno
import shutil
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from data_prep.common.errors import UserError, choose
from data_prep.common.files import atomic_write, file_hash, write_bytes, write_json
from data_prep.common.terminal import Progress, silent
from data_prep.decathlon_tables import ANNOTATION_NAME, OFFICIAL_ORDER, is_inside
from data_prep.decathlon_tar import Tar
from data_prep.fetch import CHUNK, fetch

OTHER_SIZE = 4
"""How many times the size of the official file an archive may have that is taken in its place."""
UNPACKED, UNPACKED_LEAST = 50, 2**28
"""How many times its own size an archive's files may have together, and how many bytes in any case: text packs 20 to 1 at most,
bombs 1000 to 1."""
BASE_URL = "https://www.robots.ox.ac.uk/~vgg/share"
IMAGENET = "imagenet12"


@dataclass(frozen=True, slots=True)
class Archive:
    """A file on the server. Without `sha256` that of the first download is written down and held to from then on."""

    name: str
    size: int | None = None
    sha256: str | None = None


ANNOTATIONS = Archive(
    "decathlon-1.0-devkit.tar.gz", 23_503_205, "f86d9e128678434ff2a3a374f00eb3e2ec2267e15e53ddae5f19ff19378b5ff7"
)
IMAGES = Archive(
    "decathlon-1.0-data.tar.gz", 406_351_554, "8eca928bda025d855c91a78db45b3b18bc322efd7b1462a041e62c27b3c83c25"
)
IMAGENET_ARCHIVE = Archive(
    "decathlon-1.0-data-imagenet.tar", 6_535_075_840, "93caac18a907266f917136849c1db7bbf88dd595120af1a8eea7177138962e4a"
)

IMAGENET_ADVICE = f"""\
imagenet12: its pictures are not downloaded here, as ImageNet gives them only to people with an account.
  1. Sign in at image-net.org, agree to its terms, and get {IMAGENET_ARCHIVE.name} ({IMAGENET_ARCHIVE.size:,} bytes,
     sha256 {IMAGENET_ARCHIVE.sha256}).
  2. Put it, not unpacked, at {{tar}}.
  With the plain ILSVRC 2012 pictures instead, resize each to 72 pixels on its shorter side and save it as JPEG under the
  file_name that annotations/imagenet12_*.json gives it; those names do not tell which ILSVRC picture it was, so you need
  annotations of your own for such a set.
  Then run: data-prep decathlon check {{root}}"""

PUBLISHED_MEAN_STD = {
    "aircraft": ((0.47983041, 0.51074066, 0.53437998), (0.21070221, 0.20508901, 0.23729657)),
    "cifar100": ((0.50705882, 0.48666667, 0.44078431), (0.26745098, 0.25647059, 0.27607843)),
    "daimlerpedcls": ((0.48203529, 0.48203529, 0.48203529), (0.23612616, 0.23612616, 0.23612616)),
    "dtd": ((0.52696497, 0.47025164, 0.42396662), (0.25226877, 0.24091760, 0.24994090)),
    "gtsrb": ((0.33921263, 0.31178360, 0.32047045), (0.27560347, 0.26576119, 0.27089864)),
    "imagenet12": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "omniglot": ((0.08099839, 0.08099839, 0.08099839), (0.27046935, 0.27046935, 0.27046935)),
    "svhn": ((0.43768210, 0.44376970, 0.47280442), (0.19803012, 0.20101562, 0.19703614)),
    "ucf101": ((0.49953101, 0.49880386, 0.49981995), (0.10898684, 0.10810246, 0.10679939)),
    "vgg-flowers": ((0.43414682, 0.38309883, 0.29714763), (0.28509808, 0.23842338, 0.26396330)),
}
"""Mean and std of each domain as published with the residual adapters (github.com/srebuffi/residual_adapters)."""


def download_decathlon(
    root: str | Path,
    domains: Iterable[str] | None = None,
    *,
    base_url: str = BASE_URL,
    accept_other_checksum: bool = False,
    progress: Progress = silent,
    archives: tuple[Archive, Archive] = (ANNOTATIONS, IMAGES),
) -> Iterator[str]:
    """Fetch what is not there yet, yielding a line of text as each step is done; run it again to resume after a break.

    `domains`: official names, by default all ten. `accept_other_checksum` takes an archive that differs from the checksum known
    here, writes its own down in `downloads/<archive>.sha256`, and says so. `progress("downloading", n_done, n_all)` counts bytes.
    Raises `UserError` on an unknown domain, a server that does not answer, a wrong checksum, an archive that is damaged or
    holds anything but files and folders below it.
    """
    root, chosen = Path(root), _chosen(domains)
    for folder in ("annotations", "data", "downloads"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    of_annotations, of_images = archives
    if any(not (root / "annotations" / f"{domain}_train.json").exists() for domain in chosen):
        path = root / "downloads" / of_annotations.name
        yield from _obtain(
            path, of_annotations, base_url=base_url, accept_other=accept_other_checksum, progress=progress
        )
        targets = {f"annotations/{name}": root / "annotations" / name for name in _annotation_names(chosen)}
        yield _told(path, _extract(path, targets), "annotation files")
    missing = [domain for domain in chosen if domain != IMAGENET and not _has_images(root, domain)]
    if missing:
        path = root / "downloads" / of_images.name
        yield from _obtain(path, of_images, base_url=base_url, accept_other=accept_other_checksum, progress=progress)
        found = _extract(path, {f"{domain}.tar": root / "data" / f"{domain}.tar" for domain in missing}, check=Tar)
        if lost := [domain for domain in missing if f"{domain}.tar" not in found]:
            raise UserError(f"{path} holds no images of {', '.join(lost)}: it is not the official archive; delete it.")
        yield _told(path, found, "domains")
    if not (root / "mean_std.json").exists():
        rows = {domain: {"mean": mean, "std": std} for domain, (mean, std) in PUBLISHED_MEAN_STD.items()}
        write_json(root / "mean_std.json", {"official": rows})
    if IMAGENET in chosen and not _has_images(root, IMAGENET):
        yield IMAGENET_ADVICE.format(tar=root / "data" / f"{IMAGENET}.tar", root=root)


def _chosen(domains: Iterable[str] | None) -> list[str]:
    chosen = list(OFFICIAL_ORDER if domains is None else dict.fromkeys(domains))
    for domain in chosen:
        choose("official domain", domain, OFFICIAL_ORDER)
    return chosen


def _annotation_names(domains: Collection[str]) -> list[str]:
    names = [f"{domain}_{kind}.json" for domain in domains for kind in ("train", "val", "test", "test_stripped")]
    return [name for name in names if ANNOTATION_NAME.fullmatch(name)]


def _has_images(root: Path, domain: str) -> bool:
    return (root / "data" / f"{domain}.tar").exists() or (root / "data" / domain).is_dir()


def _obtain(path: Path, archive: Archive, *, base_url: str, accept_other: bool, progress: Progress) -> Iterator[str]:
    """Fetch the archive unless it is there, and hold it to its checksum; yields what was established, in words."""
    if path.exists():
        yield f"{path}: already there"
    else:
        limit = archive.size and archive.size * (OTHER_SIZE if accept_other else 1)
        fetch(f"{base_url.rstrip('/')}/{archive.name}", path, progress, limit=limit)
        yield f"{path}: {path.stat().st_size:,} bytes downloaded"
    digest = file_hash(path)
    sidecar = path.with_name(f"{path.name}.sha256")
    recorded = sidecar.read_text(encoding="utf-8").partition(" ")[0] if sidecar.exists() else None
    if digest == archive.sha256:
        yield f"{path.name}: sha256 is the one known of the official file"
    elif recorded == digest:
        yield f"{path.name}: sha256 is that of the first download; whether that was the official file is not known"
    elif recorded is None and (archive.sha256 is None or accept_other):
        write_bytes(sidecar, f"{digest}  {path.name}\n".encode())
        yield f"{path.name}: sha256 {digest} was written down; whether this is the official file is not known"
    else:
        size = path.stat().st_size
        path.unlink()
        raise UserError(
            f"{path} has sha256 {digest} and {size:,} bytes, but {recorded or archive.sha256} is known, so it was deleted: "
            f"download again, or with `accept_other_checksum` if you trust the server."
        )


def _extract(archive: Path, targets: Mapping[str, Path], check: Callable[[Path], object] | None = None) -> list[str]:
    """Writes the members that end in a key of `targets` to its path; returns the keys found.

    A target is a path of ours, never one of the archive's; nevertheless an archive with a link, a device or a path that
    leads out of it is refused as a whole, before anything is written; so is one whose files would have more bytes than
    such archives have (`UNPACKED`).
    """
    most = max(UNPACKED * archive.stat().st_size, UNPACKED_LEAST)
    try:
        with tarfile.open(archive, "r:*") as tar:
            members, n_bytes = [], 0
            for member in tar:
                members.append(member)
                n_bytes += member.size
                if n_bytes > most:
                    raise UserError(
                        f"{archive} would unpack to more than {most:,} bytes: it is not the official archive; delete it and "
                        f"beware of where it came from."
                    )
                name = member.name.removeprefix("./").rstrip("/")
                if not (member.isfile() or member.isdir()) or not (is_inside(name) or member.name == "."):
                    raise UserError(
                        f"{archive} holds {member.name!r}, which is a link, a device or a path out of it: it is not the official "
                        f"archive; delete it and beware of where it came from."
                    )
            wanted = {key: m for m in members if m.isfile() and (key := _key(m.name, targets)) is not None}
            for key, member in wanted.items():
                with atomic_write(targets[key], check=check) as file:
                    file.writelines(_chunks(tar.extractfile(member)))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise  # the archive is not to blame
        raise UserError(f"{archive} cannot be unpacked ({error}): delete it and download again.") from error
    return list(wanted)


def _key(name: str, targets: Mapping[str, Path]) -> str | None:
    """`decathlon-1.0/annotations/dtd_val.json` matches the key `annotations/dtd_val.json`."""
    parts = name.removeprefix("./").split("/")
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((tail for tail in tails if tail in targets), None)


def _chunks(file: IO[bytes] | None) -> Iterator[bytes]:
    """What is left of the file, some of it at a time."""
    while file and (chunk := file.read(CHUNK)):
        yield chunk


def _told(path: Path, found: Collection[str], what: str) -> str:
    free = shutil.disk_usage(path.parent).free
    return f"{path.name}: {len(found)} {what} extracted; {free / 1e9:.1f} GB of the disk are free"

"""From a `Source` to a set in the Broden layout, image by image.

    report = convert(coco.read(path), "sets/coco", ImportOptions())
    report.n_images, report.splits, report.notes

`planes` makes the label maps, `broden_writer` the set.
"""

from __future__ import annotations

import io
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.broden_writer import Plane, free_name, hash_share, split_by_hash, write_broden
from data_prep.common.devices import usable_cpus
from data_prep.common.errors import UserError
from data_prep.common.pictures import IMAGE_ERRORS, TURNS, open_picture, orientation, rgb_picture
from data_prep.common.terminal import Progress, silent
from data_prep.formats import BadImageError
from data_prep.importers.options import Concept, ImportOptions, Placing
from data_prep.importers.planes import Sampling, crop_box, label_planes, resized
from data_prep.importers.source import Annotation, IndexMap, Source, SourceImage

JPEG_QUALITY = 95
ASPECT_TOLERANCE = 0.02
"""By how much the ratio of a label picture's sides may differ from its image's: the rounding of a smaller copy."""
NO_LABEL = "images without any label of {}, which count for it only with `dissect run --union all-images`"
MAX_THREADS = 8
USUAL = ("object", "part", "material", "scene", "texture", "color")
"""Categories that labels may go to, in the order of the index, beside those that a format or its user names."""


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What was written. splits: images of each. notes: what the user should know, and how often; `summary` tells of labels."""

    root: Path
    n_images: int
    splits: Mapping[str, int]
    notes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Ready:
    """An image as it will be written. suffix: of the new file's name. without: categories looked for of which it shows none."""

    file: Path | bytes
    suffix: str
    image_shape: tuple[int, int]
    label_shape: tuple[int, int]
    planes: list[Plane]
    whole: list[Concept]
    without: list[str]
    notes: list[str] = field(default_factory=list)


def convert(source: Source, out: str | Path, options: ImportOptions, progress: Progress = silent) -> ImportReport:
    """Write the set; `progress("importing", n_done, n_images)` is called after each image.

    Raises `UserError` where `out` is there, an image or its annotation cannot be used (unless `options.skip_bad`), or no label is
    left. Nothing is left of a set that was not finished.
    """
    placing = options.placing()
    for label in source.labels:
        placing(label)
    images = _chosen(source.images, options)
    converter = _Converter(options, placing, list(dict.fromkeys(c[0] for s in source.complete if (c := placing(s)))))
    told = [rule.rpartition("=")[2].strip() for rule in options.to] + [options.category or "object"]
    notes, splits, without = Counter(source.notes), Counter[str](), Counter[str]()
    taken: set[str] = set()
    with write_broden(out, list(dict.fromkeys([*USUAL, *placing.categories(), *told]))) as writer:
        for done, (image, ready) in enumerate(zip(images, converter.ahead(images), strict=True), 1):
            progress("importing", done, len(images))
            if isinstance(ready, BadImageError):
                if not options.skip_bad:
                    raise UserError(f"{str(ready).rstrip('.')}; or leave such images out with `skip_bad`.") from ready
                notes["images left out, since they or their annotations cannot be used"] += 1
                continue
            split = (image.split if options.split == "source" else None) or split_by_hash(image.name, options.val_share)
            writer.add(
                free_name(image.name, taken, ready.suffix),
                split=split,
                image_shape=ready.image_shape,
                label_shape=ready.label_shape,
                planes=ready.planes,
                whole=ready.whole,
                image=ready.file,
            )
            splits[split] += 1
            notes.update(ready.notes)
            without.update(ready.without)
        listed = writer.counted.listed
    notes.update({NO_LABEL.format(category): n for category, n in without.items() if category in listed})
    notes.update(placing.unused())
    n_images = sum(splits.values())
    return ImportReport(root=Path(out), n_images=n_images, splits=dict(sorted(splits.items())), notes=dict(notes))


def _chosen(images: Sequence[SourceImage], options: ImportOptions) -> list[SourceImage]:
    """All images, or the first by the hash of their names, in the order of the source; none may be missing."""
    chosen = list(images)
    if options.max_images is not None:
        ranked = sorted(range(len(images)), key=lambda n: hash_share(images[n].name, "chosen"))
        chosen = [images[n] for n in sorted(ranked[: options.max_images])]
    missing = [image.file for image in chosen if isinstance(image.file, Path) and not image.file.is_file()]
    if missing and not options.skip_bad:
        raise UserError(
            f"{len(missing):,} of {len(chosen):,} images are missing, the first is {missing[0]}: put them there, or leave such "
            f"images out with `skip_bad`."
        )
    return chosen


@dataclass(frozen=True)
class _Converter:
    """`complete`: categories that were looked for in every image, also in those that show no label of them."""

    options: ImportOptions
    placing: Placing
    complete: Sequence[str]

    def ahead(self, images: Sequence[SourceImage]) -> Iterator[_Ready | BadImageError]:
        """Each image in order, by threads that are a few images ahead: all that wait would fill the memory."""
        n_threads = min(MAX_THREADS, usable_cpus())
        waiting: deque[Future[_Ready | BadImageError]] = deque()
        pool = ThreadPoolExecutor(n_threads)
        try:
            for image in images:
                waiting.append(pool.submit(self._tried, image))
                if len(waiting) > 2 * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _tried(self, image: SourceImage) -> _Ready | BadImageError:
        try:
            return self._ready(image)
        except BadImageError as error:
            return error

    def _ready(self, image: SourceImage) -> _Ready:
        annotation, options = image.read(), self.options
        notes, maps = list(annotation.notes), _shape_of_maps(annotation)
        where = image.file if isinstance(image.file, Path) else image.name
        try:
            with open_picture(image.file) as picture:
                upright = _upright_shape(picture, image.shape, maps)
                if orientation(picture) not in (1, *TURNS) or (
                    orientation(picture) in TURNS and picture.size == upright[::-1]
                ):
                    notes.append(
                        "images with an EXIF orientation that was not followed, as their annotated size is the stored one"
                    )
                rgb = rgb_picture(picture, upright)
                suffix = Path(where).suffix.lower() or ".jpg"
        except FileNotFoundError:
            raise BadImageError(f"Image {where} is missing: put it there.") from None
        except IMAGE_ERRORS as error:
            raise BadImageError(f"Image {where} cannot be read ({error}): write it again.") from error
        shape = image.shape or maps or upright
        _require_shape((rgb.height, rgb.width), shape, where, exact=image.shape is not None)
        sampling = Sampling(shape, options.crop, options.label_size)
        planes = label_planes(annotation, self.placing, sampling, options.min_area)
        whole = [concept for label in annotation.whole if (concept := self.placing(label))]
        annotated = {plane.category for plane in planes} | {category for category, _ in whole}
        none = np.zeros(sampling.label_shape, np.uint8)
        without = [category for category in self.complete if category not in annotated]
        planes += [Plane(category, none, [""]) for category in without]
        file, image_shape = image.file, (rgb.height, rgb.width)
        box = crop_box(image_shape, options.crop)
        if options.image_size != "source" or box[2:] != image_shape:
            file, suffix = _jpeg(rgb, box, resized(box[2:], options.image_size)), ".jpg"
            image_shape = resized(box[2:], options.image_size)
        return _Ready(file, suffix, image_shape, sampling.label_shape, planes, whole, without, notes)


def _upright_shape(
    picture: Image.Image, stated: tuple[int, int] | None, maps: tuple[int, int] | None
) -> tuple[int, int]:
    """(H, W) that the annotation states; that of its label pictures, if it is the picture's, as stored or turned; else that of
    the picture as viewers show it, turned by its orientation tag."""
    if stated is not None:
        return stated
    if maps in (picture.size, picture.size[::-1]):
        return maps
    return picture.size if orientation(picture) in TURNS else (picture.height, picture.width)


def _shape_of_maps(annotation: Annotation) -> tuple[int, int] | None:
    shapes = [layer.codes.shape for layer in annotation.layers if isinstance(layer, IndexMap)]
    return (shapes[0][0], shapes[0][1]) if shapes else None


def _require_shape(image: tuple[int, int], annotated: tuple[int, int], where: Path | str, *, exact: bool) -> None:
    """Labels of another image, or of one that was cropped, must not be stretched over this one."""
    if image == annotated:
        return
    if exact or abs(image[0] * annotated[1] / (image[1] * annotated[0]) - 1) > ASPECT_TOLERANCE:
        raise BadImageError(
            f"Image {where} is {image[0]} high and {image[1]} wide, but its annotation {annotated[0]} and {annotated[1]}: put "
            f"the image there that was annotated."
        )


def _jpeg(rgb: Image.Image, box: tuple[int, int, int, int], shape: tuple[int, int]) -> bytes:
    top, left, high, wide = box
    picture = rgb.resize(shape[::-1], Image.Resampling.BILINEAR, (left, top, left + wide, top + high))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return file.getvalue()

"""Folders of example images for each concept, as TCAV uses them, as labels of the whole image.

    source = read(Path("concepts"))                    # concepts/striped/a.jpg, concepts/random500_0/b.jpg

Folders whose names begin with "random" hold counter-examples: images that show none of the concepts. Dissection counts an image
for a category only where it shows some label of it, so these are without effect unless all images are to count (`union`). An
image that lies in several folders, found by its content, is imported once, with the label of each. Layout: Kim et al.,
"Interpretability Beyond Feature Attribution: Quantitative Testing with Concept Activation Vectors", ICML 2018, and its code.
"""

from __future__ import annotations

from pathlib import Path

from data_prep.common.files import file_hash
from data_prep.importers.classes import whole_image
from data_prep.importers.source import Source, SourceImage, SourceLabel, pictures_below, require_images

RANDOM = "random"


def read(path: Path) -> Source:
    """Every image with the concepts of its folders. Raises `UserError` where there is no folder of images."""
    files: dict[str, Path] = {}
    folders: dict[str, list[str]] = {}
    for file in pictures_below(path):
        inside = file.relative_to(path).parts[:-1]
        if inside:
            digest = file_hash(file)
            files.setdefault(digest, file)
            folders.setdefault(digest, []).append(inside[0])
    images: list[SourceImage] = []
    labels: dict[str, SourceLabel] = {}
    for digest, file in files.items():
        names = [name for name in dict.fromkeys(folders[digest]) if not name.lower().startswith(RANDOM)]
        labels |= {name: SourceLabel(name, "concept") for name in names}
        read_labels = whole_image(*(labels[name] for name in names))
        images.append(SourceImage(file=file, name=file.relative_to(path).as_posix(), read=read_labels))
    require_images(images, path, "folder of images for each concept")
    notes = ["images found in several folders, imported once"] * sum(len(set(each)) > 1 for each in folders.values())
    return Source(images=images, labels=list(labels.values()), complete=list(labels.values()), notes=notes)

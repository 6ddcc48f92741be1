"""A folder in COCO format, for training and validation, from what an annotation tool exports."""

import os
from dataclasses import replace
from pathlib import Path

from mmagg.datasets.annotation_exports import annotation_files
from mmagg.datasets.export_part import ExportPart, read_part
from mmagg.datasets.split_folder import SPLITS, SplitFolder, check_content, check_files, put, write_part
from mmagg.datasets.stratified_split import stratified_split
from mmagg.io.errors import InputError
from mmagg.io.files import check_folder
from mmagg.io.folders import folder_written_whole
from mmagg.io.paths import keep_apart

COMMAND = 'mmagg split-coco'


def split_coco(
    *,
    export: Path,
    out: Path,
    images: Path | None = None,
    val: float = 0.2,
    seed: int = 0,
    link: bool = False,
    overwrite: bool = False,
) -> SplitFolder:
    """Write `out/annotations/instances_{train,val}.json` and `out/images/{train,val}` from a tool's export.

    Ids stay as they are, and images without objects are kept. An image has the name of its file, with its folders where
    two files of a part would have the same name. Categories that no annotation has, as Roboflow's first one, are left
    out of both parts. Images are not decoded. The folder is written whole or not at all.

    Args:
        export: folder, or JSON file, in a layout of `mmagg.datasets.annotation_exports`. What has parts for training
            and validation is not split again.
        out: folder to make.
        images: folder of the images, where they are not in the export.
        val: share of the images that are for validation.
        seed: not negative; another one, another split.
        link: symbolic links to the images instead of copies.
        overwrite: replace a folder that this function has written.

    Raises:
        OSError: something cannot be read or written.
        InputError: an argument is out of range; there are no annotations, or none that can be used, see `read_part`; or
            `out` holds something else, or what is read.
    """
    if not 0 < val < 1:
        raise InputError(f'--val {val}: not between 0 and 1')
    if seed < 0:
        raise InputError(f'--seed {seed}: must be at least 0')
    if images is not None and not images.is_dir():
        raise InputError(f'--images {images}: no such folder')
    found = annotation_files(export)
    keep_apart({'OUT': out}, [export, images, *found.values()])
    check_folder(out, 'OUT')
    folder = Path(os.path.realpath(out))
    check_content(folder, overwrite=overwrite)
    test = found.pop('test', None) if len(found) > 1 else None
    kept = len(found) > 1
    if kept:
        parts = {split: read_part(found[split], images, folder) for split in SPLITS}
        _check_categories(found, parts)
    else:
        (path,) = found.values()
        parts = _split(read_part(path, images, folder), val, seed)
    check_files('OUT', out, [file for part in parts.values() for file in part.files])
    counts = {split: part.counts() for split, part in parts.items()}
    used = sum(count.sum(axis=0) for count in counts.values()) > 0
    categories = parts['train'].categories
    classes = [category for category, one in zip(categories, used, strict=True) if one]
    listed = {file for part in parts.values() for file in part.files}  # parts of a tool may share a folder
    unlisted = dict.fromkeys(file for part in parts.values() for file in part.unlisted if file not in listed)
    with folder_written_whole(folder) as draft:
        check_content(folder, overwrite=overwrite)
        for split, part in parts.items():
            _write(draft, split, replace(part, categories=classes), link=link)
    return SplitFolder(
        out=out,
        counts={split: count[:, used] for split, count in counts.items()},
        classes=[category['name'] for category in classes],
        kept=kept,
        share=val,
        boxes=sum(not annotation.get('segmentation') for part in parts.values() for annotation in part.annotations),
        unused=[category['name'] for category, one in zip(categories, used, strict=True) if not one],
        missing=[name for part in parts.values() for name in part.missing],
        unlisted=list(map(str, unlisted)),
        test=test,
    )


def _split(part: ExportPart, val: float, seed: int) -> dict[str, ExportPart]:
    """Both parts; what has no file or no entry is said of the first.

    Raises:
        InputError: there is one image only.
    """
    if len(part.images) < 2:
        raise InputError(f'{part.files[0]} is the only image; training and validation need one each')
    validation = stratified_split(part.counts(), share=val, seed=seed)
    train = replace(part.only(~validation), missing=part.missing, unlisted=part.unlisted)
    return {'train': train, 'val': part.only(validation)}


def _check_categories(found: dict[str, Path], parts: dict[str, ExportPart]) -> None:
    """Refuse parts of other categories; those of training stand for both, in their order.

    Raises:
        InputError: names both files.
    """
    train, val = ({x['id']: x['name'] for x in parts[split].categories} for split in SPLITS)
    if train != val:
        first, second = next(iter(sorted(set(train.items()) ^ set(val.items()), key=str)))
        raise InputError(
            f'{found["train"]} and {found["val"]} differ in category {first} ({second}); export them together'
        )
    parts['val'] = replace(parts['val'], categories=parts['train'].categories)


def _write(folder: Path, split: str, part: ExportPart, *, link: bool) -> None:
    """Write the annotations and images of one part."""
    base_names = {file.name.casefold() for file in part.files}
    flat = len(base_names) == len(part.files)
    above = Path(os.path.commonpath([file.parent for file in part.files]))
    names = [file.name if flat else file.relative_to(above).as_posix() for file in part.files]

    def place(number: int, target: Path) -> None:
        put(part.files[number], target, link=link)

    write_part(folder, split, part, names=names, place=place, by=COMMAND)

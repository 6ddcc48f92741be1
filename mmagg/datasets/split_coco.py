"""A folder in COCO format, for training and validation, from what an annotation tool exports."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmagg.datasets.annotation_exports import annotation_files
from mmagg.datasets.class_names import check_names
from mmagg.datasets.coco_folder import annotation_file, image_folder
from mmagg.datasets.export_part import ExportPart, read_part
from mmagg.datasets.findings import Findings, printable
from mmagg.datasets.stratified_split import stratified_split
from mmagg.io.errors import InputError
from mmagg.io.files import check_folder, read_json, write_json
from mmagg.io.folders import folder_written_whole
from mmagg.io.paths import keep_apart

SPLITS = 'train', 'val'
OURS = 'split_by', 'mmagg split-coco'
"""Key and value in `info` of the files that `split_coco` writes."""
_NAMED = 3  # examples
_FAR = 2.0  # times the share that was asked for, or one by it, from which on a word is said
_OFF = 2.0  # objects too many or too few in validation, likewise


@dataclass(frozen=True)
class SplitFolder:
    """What `split_coco` wrote.

    Attributes:
        out: the folder.
        counts: of 'train' and 'val', (I, C): the objects of each class in each image.
        classes: their names.
        kept: whether the tool had split the images, which is kept.
        share: of the images that were to be for validation, where they are split here.
        boxes: objects without a mask.
        unused: names of categories without an object, which are left out.
        missing: `file_name` of images without a file, which are left out.
        unlisted: files of images without an entry, which are left out.
        test: the annotations of the export's test part, which is left out; None if there is none.
    """

    out: Path
    counts: dict[str, np.ndarray]
    classes: list[str]
    kept: bool
    share: float
    boxes: int
    unused: list[str]
    missing: list[str]
    unlisted: list[str]
    test: Path | None

    def __str__(self) -> str:
        said = ['train and val are those of the export'] if self.kept else []
        said += [f'left out, a test part: {self.test}'] if self.test else []
        for what, names in (
            ('categories without an object', self.unused),
            ('images without a file', self.missing),
            ('files without an entry', self.unlisted),
        ):
            if names:
                said.append(f'left out, {what}: {len(names)} ({_some(names)})')
        if self.boxes:
            total = sum(int(part.sum()) for part in self._parts)
            way = 'a training refuses them: draw outlines, or remove them'
            said.append(f'without a mask, boxes alone: {self.boxes} of {total} objects ({way})')
        odd = Findings()
        check_names(odd, {name: sum(_column(self._parts, place)) for place, name in enumerate(self.classes)})
        said += [str(finding) for finding in odd.summary()]
        if far := self._far():
            way = 'an image is in one part with all its objects, those of other classes too'
            said.append(f'share in val far from the {self.share:.0%} asked for: {_some(far)}; {way}')
        return '\n'.join([*said, *self._table(), f'written to {self.out}'])

    @property
    def _parts(self) -> list[np.ndarray]:
        return [self.counts[split] for split in SPLITS]

    def _far(self) -> list[str]:
        """The classes whose share in validation is not nearly the one asked for; none where a tool has split them."""
        far = []
        for place, name in enumerate([] if self.kept else self.classes):
            train, val = _column(self._parts, place)
            wanted = self.share * (train + val)
            if abs(val - wanted) >= _OFF and not wanted / _FAR <= val <= wanted * _FAR:
                far.append(printable(name))
        return far

    def _table(self) -> list[str]:
        """Images, and objects by class, in both parts, and the share of validation."""
        parts = self._parts
        rows = {'images': [len(part) for part in parts]}
        rows['without objects'] = [int((part.sum(axis=1) == 0).sum()) for part in parts]
        named = [*rows.items(), *((printable(name), _column(parts, place)) for place, name in enumerate(self.classes))]
        width = max(len(name) for name, _ in named)
        lines = [f'{"":{width}}{"train":>8}{"val":>8}']
        for name, (train, val) in named:
            share = f'{val / (train + val):8.0%}' if train + val else ''
            lines.append(f'{name:{width}}{train:8}{val:8}{share}')
        return lines


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:_NAMED]) + (', …' if len(names) > _NAMED else '')


def _column(parts: Sequence[np.ndarray], place: int) -> list[int]:
    return [int(part[:, place].sum()) for part in parts]


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
    _check_content(folder, overwrite=overwrite)
    test = found.pop('test', None) if len(found) > 1 else None
    kept = len(found) > 1
    if kept:
        parts = {split: read_part(found[split], images, folder) for split in SPLITS}
        _check_categories(found, parts)
    else:
        (path,) = found.values()
        parts = _split(read_part(path, images, folder), val, seed)
    _check_files(out, [file for part in parts.values() for file in part.files])
    counts = {split: part.counts() for split, part in parts.items()}
    used = sum(count.sum(axis=0) for count in counts.values()) > 0
    categories = parts['train'].categories
    classes = [category for category, one in zip(categories, used, strict=True) if one]
    listed = {file for part in parts.values() for file in part.files}  # parts of a tool may share a folder
    unlisted = dict.fromkeys(file for part in parts.values() for file in part.unlisted if file not in listed)
    with folder_written_whole(folder) as draft:
        _check_content(folder, overwrite=overwrite)
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


def _check_files(out: Path, files: Sequence[Path]) -> None:
    """Refuse images that are links into `out`: it would be replaced, and with `--link` each would lead to itself.

    Raises:
        InputError: names one of them.
    """
    folder = os.path.realpath(out)
    targets = ((file, Path(os.path.realpath(file))) for file in files)
    inside = next(((file, target) for file, target in targets if target.is_relative_to(folder)), None)
    if inside is not None:
        raise InputError(f'OUT {out}: holds {inside[1]}, to which {inside[0]} leads; name another place')


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
    for file, name in zip(tqdm(part.files, f'{split} images', leave=False, delay=2), names, strict=True):
        target = image_folder(folder, split) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            target.symlink_to(os.path.realpath(file))
        else:
            shutil.copyfile(file, target)
    info = part.other.get('info')
    content = {
        **part.other,
        'info': (info if isinstance(info, dict) else {}) | dict([OURS]),
        'images': [{**image, 'file_name': name} for image, name in zip(part.images, names, strict=True)],
        'annotations': part.annotations,
        'categories': part.categories,
    }
    write_json(content, annotation_file(folder, split))


def _check_content(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something, or, if it may be replaced, anything but what `split_coco` wrote."""
    if not out.exists() or not any(out.iterdir()):
        return
    foreign = _foreign(out)
    if foreign is None and not overwrite:
        raise InputError(f'{out} is not empty; choose another folder or pass --overwrite')
    if foreign is not None:
        more = f' ({foreign})' if overwrite else ''
        raise InputError(f'{out} holds more than a split export{more}; choose another folder')


def _foreign(out: Path) -> str | None:
    """The name of a file in a folder that `split_coco` did not write; None if all are its own."""
    own = set()
    for split in SPLITS:
        path = annotation_file(out, split)
        try:
            content = read_json(path)
            if content['info'][OURS[0]] == OURS[1]:
                own |= {path, *(image_folder(out, split) / image['file_name'] for image in content['images'])}
        except (OSError, ValueError, LookupError, TypeError):
            continue
    files = sorted(path for path in out.rglob('*') if path.is_symlink() or not path.is_dir())
    return next((str(path.relative_to(out)) for path in files if path not in own), None)

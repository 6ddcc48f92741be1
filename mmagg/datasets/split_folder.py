"""A folder in COCO format that commands make: written part by part, summed up, replaced only if it is theirs."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmagg.datasets.class_names import check_names
from mmagg.datasets.coco_folder import annotation_file, image_folder
from mmagg.datasets.export_part import ExportPart
from mmagg.datasets.findings import Findings, printable
from mmagg.io.errors import InputError
from mmagg.io.files import read_json, write_json

SPLITS = 'train', 'val'
PARTS = 'train', 'val', 'test'
OURS = 'split_by'
"""Key in `info` of the files that the commands write; its value is the command."""
COMMANDS = 'mmagg split-coco', 'mmagg convert-data'
_NAMED = 3  # examples
_FAR = 2.0  # times the share that was asked for, or one by it, from which on a word is said
_OFF = 2.0  # objects too many or too few in validation, likewise


@dataclass(frozen=True)
class SplitFolder:
    """What was written.

    Attributes:
        out: the folder.
        counts: of 'train', 'val' and perhaps 'test', (I, C): the objects of each class in each image.
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
            way = 'draw outlines, remove them, or learn from boxes with configs/boxinst'
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
        return list(self.counts.values())

    def _far(self) -> list[str]:
        """The classes whose share in validation is not nearly the one asked for; none where a tool has split them."""
        far = []
        for place, name in enumerate([] if self.kept or 'val' not in self.counts else self.classes):
            objects = _column(self._parts, place)
            val, wanted = objects[list(self.counts).index('val')], self.share * sum(objects)
            if abs(val - wanted) >= _OFF and not wanted / _FAR <= val <= wanted * _FAR:
                far.append(printable(name))
        return far

    def _table(self) -> list[str]:
        """Images, and objects by class, in each part, and the share of validation."""
        parts = self._parts
        rows = {'images': [len(part) for part in parts]}
        rows['without objects'] = [int((part.sum(axis=1) == 0).sum()) for part in parts]
        named = [*rows.items(), *((printable(name), _column(parts, place)) for place, name in enumerate(self.classes))]
        width = max(len(name) for name, _ in named)
        lines = [f'{"":{width}}' + ''.join(f'{part:>8}' for part in self.counts)]
        for name, objects in named:
            val = dict(zip(self.counts, objects, strict=True)).get('val')
            total = int(np.sum(objects))
            share = f'{val / total:8.0%}' if val is not None and total else ''
            lines.append(f'{name:{width}}' + ''.join(f'{number:8}' for number in objects) + share)
        return lines


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:_NAMED]) + (', …' if len(names) > _NAMED else '')


def _column(parts: Sequence[np.ndarray], place: int) -> list[int]:
    return [int(part[:, place].sum()) for part in parts]


def write_part(
    folder: Path,
    split: str,
    part: ExportPart,
    *,
    names: Sequence[str],
    place: Callable[[int, Path], None],
    by: str,
) -> None:
    """Write the annotations and images of one part.

    Args:
        folder: to write to.
        split: 'train', 'val' or 'test'.
        part: its entries.
        names: of the files of its images, below the part's folder.
        place: writes the image of a number to a path.
        by: the command that writes.
    """
    for number, name in enumerate(tqdm(names, f'{split} images', leave=False, delay=2)):
        target = image_folder(folder, split) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        place(number, target)
    info = part.other.get('info')
    content = {
        **part.other,
        'info': (info if isinstance(info, dict) else {}) | {OURS: by},
        'images': [{**image, 'file_name': name} for image, name in zip(part.images, names, strict=True)],
        'annotations': part.annotations,
        'categories': part.categories,
    }
    write_json(content, annotation_file(folder, split))


def put(file: Path, target: Path, *, link: bool) -> None:
    """Copy an image, or make a symbolic link to it."""
    if link:
        target.symlink_to(os.path.realpath(file))
    else:
        shutil.copyfile(file, target)


def check_files(flag: str, out: Path, files: Sequence[Path]) -> None:
    """Refuse images that are links into `out`: it would be replaced, and with `--link` each would lead to itself.

    Raises:
        InputError: names the flag and one of them.
    """
    folder = os.path.realpath(out)
    targets = ((file, Path(os.path.realpath(file))) for file in files)
    inside = next(((file, target) for file, target in targets if target.is_relative_to(folder)), None)
    if inside is not None:
        raise InputError(f'{flag} {out}: holds {inside[1]}, to which {inside[0]} leads; name another place')


def check_content(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something, or, if it may be replaced, anything but what the commands wrote.

    Raises:
        InputError: names the folder, and what is in it.
    """
    if not out.exists() or not any(out.iterdir()):
        return
    foreign = _foreign(out)
    if foreign is None and not overwrite:
        raise InputError(f'{out} is not empty; choose another folder or pass --overwrite')
    if foreign is not None:
        more = f' ({foreign})' if overwrite else ''
        raise InputError(f'{out} holds more than a split export{more}; choose another folder')


def _foreign(out: Path) -> str | None:
    """The name of a file in a folder that the commands did not write; None if all are its own."""
    own = set()
    for split in PARTS:
        path = annotation_file(out, split)
        try:
            content = read_json(path)
            if content['info'][OURS] in COMMANDS:
                own |= {path, *(image_folder(out, split) / image['file_name'] for image in content['images'])}
        except (OSError, ValueError, LookupError, TypeError):
            continue
    files = sorted(path for path in out.rglob('*') if path.is_symlink() or not path.is_dir())
    return next((str(path.relative_to(out)) for path in files if path not in own), None)

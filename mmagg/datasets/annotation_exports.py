"""What annotation tools export as COCO: where its annotation files lie, and how images are called there.

| tool | annotations | images |
|---|---|---|
| CVAT, "COCO 1.0" | `annotations/instances_NAME.json` | `images` or `images/NAME`, or left out |
| Label Studio, "COCO" | `result.json` | `images` |
| Roboflow, "COCO Segmentation" | `train`, `valid`, `test`, each with `_annotations.coco.json` | beside it |
| labelme's `labelme2coco.py` | `annotations.json` | `JPEGImages` |
| VIA, "Export Annotations (COCO format)" | a file | left out |
"""

import os
import re
import shlex
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath

from mmagg.datasets.coco_file import read_coco_json
from mmagg.io.errors import InputError
from mmagg.io.images import SUFFIXES

PARTS = {'train': 'train', 'training': 'train', 'val': 'val', 'valid': 'val', 'validation': 'val', 'test': 'test'}
"""The parts of a data set by the names that tools give them."""
Parts = tuple[str, ...]
"""Of a path, from the folder of the images."""
UPLOADED = re.compile(r'[0-9a-f]{8}-(.+)')
"""A file's name as Label Studio has it, which puts a number before it when it is uploaded."""


def annotation_files(export: Path) -> dict[str, Path]:
    """The annotation files of an export by the part that they are of; of a single one that is not a part, ''.

    Args:
        export: folder or JSON file.

    Raises:
        OSError: the folder may not be read.
        InputError: there is none, or there are several that are no parts, or they are of labelme or VIA.
    """
    if export.suffix.lower() == '.zip':
        raise InputError(f'EXPORT {export}: an archive; unpack it and name its folder')
    if export.is_file():
        return {'': export}
    if not export.is_dir():
        raise InputError(f'EXPORT {export}: no such file or folder')
    found = export_files(export)
    if not found:
        for place in filter(Path.is_dir, (export, export / 'annotations')):
            os.scandir(place).close()  # what may not be read seems to be empty
        raise InputError(f'EXPORT {export}: no annotations (*.json) in it; export them as COCO and unpack the archive')
    parts = [PARTS.get(_part(path).lower().rstrip('0123456789'), '') for path in found]
    if len(set(parts)) < len(parts) or ('' in parts and len(parts) > 1):
        refuse_other_formats(found[0], read_coco_json(found[0]))
        names = ', '.join(str(path.relative_to(export)) for path in found[:3]) + (', …' if len(found) > 3 else '')
        raise InputError(f'EXPORT {export}: {len(found)} annotation files ({names}); name one of them')
    return dict(zip(parts, found, strict=True))


def export_files(folder: Path) -> list[Path]:
    """The annotation files of a folder in the first layout of a tool that it fits; none if it fits none."""
    patterns = '*/_annotations.coco.json', 'annotations/instances_*.json', 'annotations/[!.]*.json', '[!.]*.json'
    return next((paths for pattern in patterns if (paths := sorted(folder.glob(pattern)))), [])


def split_command(export: Path) -> str:
    """The command that makes a folder for training and validation of an export, a folder or a file, to be copied."""
    folder = export.absolute() if export.is_dir() else export.absolute().parent
    return f'`{shlex.join(["mmagg", "split-coco", str(export), f"{folder.name}-coco"])}`'


def _part(path: Path) -> str:
    """What an annotation file is called after: its folder or the end of its own name."""
    return path.parent.name if path.name == '_annotations.coco.json' else path.stem.removeprefix('instances_')


def refuse_other_formats(path: Path, content: object) -> None:
    """Refuse annotations in labelme's or VIA's own format, and say what makes COCO of them.

    Raises:
        InputError: they are of these.
    """
    if not isinstance(content, dict) or 'images' in content:
        return
    if 'shapes' in content and 'imagePath' in content:
        way = f'{shlex.join(["mmagg", "convert-data", str(path.parent)])} OUT reads it'
        raise InputError(f'{path} is of labelme, not COCO; {way}')
    if '_via_img_metadata' in content or any(isinstance(x, dict) and 'regions' in x for x in content.values()):
        way = 'export with Annotation > Export Annotations (COCO format) and name the photographs with --images'
        raise InputError(f'{path} is of VIA, not COCO; {way}')


def image_folder_of(annotations: Path) -> Path:
    """The folder below which the images of an annotation file lie in the layouts that tools have."""
    folder = annotations.parent.parent if annotations.parent.name == 'annotations' else annotations.parent
    places = folder / 'images' / _part(annotations), folder / 'images', folder
    return next(place for place in places if place.is_dir())


@dataclass(frozen=True)
class FoundImages:
    """Files of images.

    Attributes:
        files: of each name its file, below the folder; None where there is none.
        unlisted: images in the folder that no name is of.
        unread: of folders that could not be looked into, as for want of permission.
    """

    files: list[Path | None]
    unlisted: list[Path]
    unread: list[OSError]


def find_images(names: Sequence[str], folder: Path, *, without: Path | None = None) -> FoundImages:
    """Find the files that an annotation file means.

    A name is a path from the folder, or from the one above it; of others, as those of a server, the end counts: of the
    files with its last part, the one that has most of those before it as well. Backslashes separate as slashes do.
    Label Studio's number before a name may be missing. Nothing outside the folder is looked at.

    Args:
        names: `file_name` of each image.
        folder: where images lie, at any depth.
        without: a folder that is not searched.

    Raises:
        InputError: several files fit a name, or two names have the same file.
    """
    unread: list[OSError] = []
    below = {_normal(path.relative_to(folder).parts): path for path in _files(folder, without, unread)}
    by_name: dict[str, list[Parts]] = defaultdict(list)
    for file in below:
        by_name[file[-1]].append(file)
    wanted = [_normal(PurePosixPath(name.replace('\\', '/')).parts) for name in names]
    exact = [_exact(parts, folder.name, below) for parts in wanted]
    taken = {file for file in exact if file}
    owner: dict[Parts, str] = {}
    files: list[Path | None] = []
    for name, parts, same in zip(names, wanted, exact, strict=True):
        near = [file for file in _called(parts, by_name) if file not in taken]
        file = same or _nearest(parts, near, name, folder)
        files.append(below[file] if file else None)
        if file in owner:
            way = 'list each image once, with the annotations of one annotator'
            raise InputError(f'images {owner[file]} and {name} are the same file, {below[file]}; {way}')
        if file:
            owner[file] = name
    unlisted = [path for file, path in below.items() if file not in owner and path.suffix.lower() in SUFFIXES]
    return FoundImages(files, unlisted, unread)


def _files(folder: Path, without: Path | None, unread: list[OSError]) -> Iterator[Path]:
    """All files below a folder, in order; without hidden ones. Folders that cannot be read are added to `unread`."""
    for place, folders, files in os.walk(folder, onerror=unread.append):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        if without is not None:
            folders[:] = [name for name in folders if os.path.realpath(Path(place) / name) != os.path.realpath(without)]
        shown = (Path(place) / name for name in sorted(files) if not name.startswith('.'))
        yield from (path for path in shown if path.is_file())


def _normal(parts: Sequence[str]) -> Parts:
    """A path with composed letters: file systems of macOS have an umlaut as two characters."""
    return tuple(unicodedata.normalize('NFC', part) for part in parts)


def _exact(parts: Parts, folder: str, below: Collection[Parts]) -> Parts:
    """The file that has a name as its path from the folder, by whatever name, or from the one above; else ()."""
    rest = parts[1:] if parts[:1] in ((folder,), ('images',)) else ()
    return next((file for file in (parts, rest) if file in below), ())


def _called(parts: Parts, by_name: Mapping[str, list[Parts]]) -> list[Parts]:
    """The files with the last part of a name, or with that without Label Studio's number."""
    last = parts[-1] if parts else ''
    uploaded = UPLOADED.fullmatch(last)
    return by_name.get(last) or (by_name.get(uploaded[1]) if uploaded else None) or []


def _nearest(parts: Parts, files: Sequence[Parts], name: str, folder: Path) -> Parts:
    """The file that has most parts of a name before its last; () if there are no files.

    Raises:
        InputError: several are equally near.
    """
    shared = [_shared(parts, file) for file in files]
    best = [file for file, count in zip(files, shared, strict=True) if count == max(shared)]
    if len(best) > 1:
        places = ' and '.join(str(folder.joinpath(*file)) for file in best[:2])
        raise InputError(f'image {name}: {len(best)} files in {folder} have its name, as {places}; name them apart')
    return best[0] if best else ()


def _shared(one: Parts, other: Parts) -> int:
    """How many parts two paths have in common before the last."""
    pairs = zip(one[-2::-1], other[-2::-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

"""Data sets in the formats of tools become a folder that trains, or one in another of these formats."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from mmagg.datasets.class_names import meant_names
from mmagg.datasets.findings import printable
from mmagg.datasets.grouped_split import group_names, grouped_split
from mmagg.datasets.split_folder import PARTS, SPLITS, SplitFolder, check_content, check_files
from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.known import source_images
from mmagg.formats.reading import read_all
from mmagg.formats.source import Source, SourceImage
from mmagg.formats.training_tiles import tile_of, tile_windows
from mmagg.formats.written import ONE_FOLDER, WITH_CROWDS, WRITERS, Example
from mmagg.io.errors import InputError, check_fraction
from mmagg.io.files import check_folder
from mmagg.io.folders import folder_written_whole
from mmagg.io.paths import fitting, keep_apart

SHARES = 0.8, 0.2
SMALLEST = 32  # pixels of a tile
_NAMED = 20  # lines on what is left out, where nothing can be done


@dataclass(frozen=True)
class ConvertedData:
    """What `convert_data` wrote.

    Attributes:
        folder: its parts, with the objects of each class.
        skipped: lines on what could not be read and is left out.
    """

    folder: SplitFolder
    skipped: list[str]

    def __str__(self) -> str:
        return '\n'.join([*(f'left out: {printable(line)}' for line in self.skipped), str(self.folder)])


def convert_data(
    *,
    sources: Sequence[Path],
    out: Path,
    from_format: str = 'auto',
    to_format: str = 'coco',
    images: Path | None = None,
    split: Sequence[float] | None = None,
    group: str | None = None,
    seed: int = 0,
    rename: Sequence[tuple[str, str]] = (),
    drop: Sequence[str] = (),
    tile: int | None = None,
    overlap: float = 0.2,
    min_piece: float = 0.2,
    link: bool = False,
    overwrite: bool = False,
) -> ConvertedData:
    """Write the folder that `--coco` reads, with a part `test` where there is one, or another format's.

    Classes of the same name are one. Images are copied, or linked, as they are, and decoded once to see that they are
    whole. An image that cannot be read, or whose annotations cannot, is left out with all its objects and said: without
    some of them it would teach that these are background.

    Args:
        sources: folders, or annotation files, each in a layout of `mmagg.formats.known`.
        out: folder to make.
        from_format: of the sources, by name; 'auto' looks at each.
        to_format: of `mmagg.formats.written`.
        images: folder of the images, where a source has none.
        split: shares for training and validation, and perhaps test. None keeps the parts of a source that has training
            and validation, and splits others 0.8 to 0.2.
        group: images of a group stay in one part, see `group_names`.
        seed: of the split, not negative.
        rename: pairs of a class's name and its new one.
        drop: names, after that, of classes whose objects are left out.
        tile: pixels a side of tiles that images are cut into.
        overlap: of tiles, a share of their side.
        min_piece: share of an object below which a piece of it in a tile is a crowd.
        link: symbolic links to the images instead of copies.
        overwrite: replace a COCO folder that this function has written.

    Raises:
        OSError: something cannot be read or written.
        InputError: an argument is out of range, or names a class that is not there; a source is of no known format; no
            image can be read; or `out` holds something else, or what is read.
    """
    _check_arguments(split, seed, tile, overlap, min_piece, link=link)
    if images is not None and not images.is_dir():
        raise InputError(f'--images {images}: no such folder')
    if overwrite and to_format != 'coco':
        raise InputError(f'--overwrite: what is there can be told to be ours in a COCO folder alone; remove {out}')
    keep_apart({'DST': out}, [*sources, images])
    check_folder(out, 'DST')
    folder = Path(os.path.realpath(out))
    check_content(folder, overwrite=overwrite)
    read = [Source(path, images, folder) for path in sources]
    found = [source_images(source, from_format) for source in read]
    _refuse_twice(found)
    check_files('DST', out, [image.file for part in found for image in part if image.embedded is None])
    skipped = [line for source in read for line in source.said]
    examples: list[Example] = []
    parted = []
    for number, listed in enumerate(found):
        some = list(read_all(listed, number, read[number].folder, skipped))
        has = {example.part for example in some}
        parted += [split is None and set(SPLITS) <= has and example.part != '' for example in some]
        examples += some
    if not examples:
        raise InputError(f'SRC {sources[0]}: none of its images can be read', *skipped[:_NAMED])
    examples, classes, unused = _with_classes(examples, rename, drop)
    if not classes:
        raise InputError('no object is left; the data sets have none, or --drop leaves them out', *skipped[:_NAMED])
    try:
        examples = _with_parts(examples, parted, split, group, seed, classes)
    except InputError as error:  # too few images, perhaps because of those that are left out
        raise InputError(*error.args, *skipped[:_NAMED]) from error
    examples = _with_names(examples, by_part=to_format not in ONE_FOLDER)
    if tile is not None:
        examples = [one for example in examples for one in _tiles(example, tile, overlap, min_piece)]
    lost: list[str] = []
    if to_format not in WITH_CROWDS:
        examples = _without_crowds(examples, to_format, lost)
    with folder_written_whole(folder) as draft:
        check_content(folder, overwrite=overwrite)
        WRITERS[to_format](draft, examples, classes, link=link, said=lost)
    used = [part for part in PARTS if any(example.part == part for example in examples)]
    return ConvertedData(
        SplitFolder(
            out=out,
            counts={part: _counts([x for x in examples if x.part == part], classes) for part in used},
            classes=classes,
            kept=all(parted),
            share=(split or SHARES)[1],
            boxes=sum(mask is None for example in examples for mask in example.image.masks),
            unused=unused,
            missing=[],
            unlisted=[],
            test=None,
        ),
        [*skipped, *lost],
    )


def _check_arguments(
    split: Sequence[float] | None, seed: int, tile: int | None, overlap: float, min_piece: float, *, link: bool
) -> None:
    if split is not None and not (len(split) in (2, 3) and min(split) > 0 and abs(sum(split) - 1) < 1e-6):
        said = ','.join(f'{share:g}' for share in split)
        raise InputError(f'--split {said}: not two or three positive shares whose sum is 1, as 0.8,0.2')
    if seed < 0:
        raise InputError(f'--seed {seed}: must be at least 0')
    if tile is not None and tile < SMALLEST:
        raise InputError(f'--tile {tile}: at least {SMALLEST} pixels')
    if not 0 <= overlap <= 0.9:
        raise InputError(f'--overlap {overlap}: not between 0 and 0.9')
    check_fraction(min_piece, '--min-piece')
    if link and tile is not None:
        raise InputError('--link: tiles are cut from the images, which cannot be linked to; leave out --link or --tile')


def _refuse_twice(found: Sequence[Sequence[SourceImage]]) -> None:
    """Refuse sources that share images, which could be in training and validation at once."""
    owner: dict[Path, int] = {}
    for number, images in enumerate(found):
        for image in images:
            if image.embedded is None and owner.setdefault(image.file.resolve(), number) != number:
                raise InputError(f'{image.file} is in two of the sources; name each data set once')


def _with_classes(
    examples: Sequence[Example], rename: Sequence[tuple[str, str]], drop: Sequence[str]
) -> tuple[list[Example], list[str], list[str]]:
    """Labels by the classes of all, in the order in which they come; those without an object are left out.

    Returns:
        The examples, the names of the classes, and those that are left out.

    Raises:
        InputError: a class that is named is not there.
    """
    new = dict(rename)
    known = list(dict.fromkeys(name for example in examples for name in example.image.classes))
    renamed = list(dict.fromkeys(new.get(name, name) for name in known))
    for flag, asked, there in (('--rename', list(new), known), ('--drop', list(drop), renamed)):
        if unknown := [name for name in asked if name not in there]:
            listed = ', '.join(there[:20])
            raise InputError(f'{flag} {unknown[0]}: no such class{meant_names(unknown, there)}; there are {listed}')
    kept = [name for name in renamed if name not in drop]
    done = []
    for example in examples:
        image = example.image
        names = [new.get(name, name) for name in image.classes]
        place = np.array([kept.index(name) if name in kept else -1 for name in names], int)
        labels = place[image.labels] if len(image) else image.labels
        done.append(replace(example, image=_only(replace(image, labels=labels, classes=kept), labels >= 0)))
    used = np.zeros(len(kept), bool)
    for example in done:
        used[example.image.labels] = True
    number = np.cumsum(used) - 1
    classes = [name for name, one in zip(kept, used, strict=True) if one]
    done = [replace(x, image=replace(x.image, labels=number[x.image.labels], classes=classes)) for x in done]
    return done, classes, [name for name, one in zip(kept, used, strict=True) if not one]


def _without_crowds(examples: Sequence[Example], name: str, lost: list[str]) -> list[Example]:
    """The examples without regions of many objects, each of which would be one object in a format without them."""
    crowds = [np.zeros(len(x.image), bool) if x.image.crowd is None else x.image.crowd for x in examples]
    if count := sum(int(crowd.sum()) for crowd in crowds):
        lost.append(f'{count} region{"s" * (count > 1)} of many objects (iscrowd), which {name} does not have')
    return [replace(x, image=_only(x.image, ~crowd)) for x, crowd in zip(examples, crowds, strict=True)]


def _only(image: AnnotatedImage, chosen: np.ndarray) -> AnnotatedImage:
    """An image with some of its instances, (N,) bool."""
    return replace(
        image,
        labels=image.labels[chosen],
        masks=[mask for mask, one in zip(image.masks, chosen, strict=True) if one],
        boxes=image.boxes[chosen],
        crowd=None if image.crowd is None else image.crowd[chosen],
    )


def _with_parts(
    examples: Sequence[Example],
    parted: Sequence[bool],
    split: Sequence[float] | None,
    group: str | None,
    seed: int,
    classes: Sequence[str],
) -> list[Example]:
    """Each image in its part: of its source, or of a split of all that have none."""
    open_ = [place for place, one in enumerate(parted) if not one and (split or examples[place].part != 'test')]
    parts = [example.part for example in examples]
    if open_:
        some = [examples[place] for place in open_]
        groups = group_names([example.name for example in some], group)
        chosen = grouped_split(_counts(some, classes), groups=groups, shares=split or SHARES, seed=seed)
        for place, number in zip(open_, chosen.tolist(), strict=True):
            parts[place] = PARTS[number]
    return [replace(example, part=part) for example, part in zip(examples, parts, strict=True)]


def _with_names(examples: Sequence[Example], *, by_part: bool) -> list[Example]:
    """Each image with a name that no other one of its folder has, nor its stem, whatever the case of letters.

    That of the file, else with its folders, else with the number of its source.
    """
    numbered = [PurePosixPath(example.name) for example in examples]
    plain = [PurePosixPath(path.name) for path in numbered]
    deep = [PurePosixPath(*path.parts[1:]) for path in numbered]
    folders = [example.part if by_part else '' for example in examples]
    names = next((x for x in (plain, deep, numbered) if _apart(x, folders)), None)
    if names is None:  # a.jpg and a.png of the same folder
        names = [path.with_name(f'{path.stem}-{path.suffix[1:]}{path.suffix}') for path in numbered]
    return [replace(one, name=str(x.with_name(fitting(x.name)))) for one, x in zip(examples, names, strict=True)]


def _apart(names: Sequence[PurePosixPath], folders: Sequence[str]) -> bool:
    stems = (str(name.with_suffix('')).casefold() for name in names)
    return len(set(zip(folders, stems, strict=True))) == len(names)


def _tiles(example: Example, tile: int, overlap: float, min_piece: float) -> list[Example]:
    """The tiles of an image."""
    found = []
    for window in tile_windows(example.image.size, tile, overlap):
        image = tile_of(replace(example.image, name=example.name), window, min_piece=min_piece)
        found.append(replace(example, name=image.name, image=image, window=window))
    return found


def _counts(examples: Sequence[Example], classes: Sequence[str]) -> np.ndarray:
    """(I, C), the objects of each class in each image."""
    counts = [np.bincount(example.image.labels, minlength=len(classes)) for example in examples]
    return np.array(counts, int).reshape(-1, len(classes))

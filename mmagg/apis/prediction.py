"""Prediction for a folder of images."""

import glob
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from mmagg.apis.image_sources import matching
from mmagg.apis.model_files import model_files
from mmagg.apis.prediction_engine import Cap
from mmagg.apis.result import Result
from mmagg.apis.segmenter import Segmenter
from mmagg.apis.skipped_images import skipping
from mmagg.formats.coco_json import add_image, coco_json
from mmagg.formats.image_files import check_tolerance, format_of, write_image_file
from mmagg.io.errors import InputError, check_fraction
from mmagg.io.files import check_folder, write_json, write_text
from mmagg.io.images import SUFFIXES, find_images, unread, write_image
from mmagg.io.partial import partial_path
from mmagg.io.paths import keep_apart
from mmagg.io.pictures import beside_pictures, keep_pictures_apart, picture_paths, places

RESULT = 'predictions.json'
NAMED = 5  # images that are skipped, in the line that says so


@dataclass
class FolderPredictions:
    """The instances in a folder of images.

    Attributes:
        coco: images, annotations and categories in COCO's format, as in predictions.json.
        unreadable: images that were skipped: they cannot be read, or not be resized as the model needs it.
        cap: the most detections of an image by the model's config; None if it does not say.
        full: number of images with so many confident ones: there may be more.
        highest: the highest score, also of those that are left out, but for tiles; None where nothing is found at all.
    """

    coco: dict[str, list[dict]]
    unreadable: list[Path] = field(default_factory=list)
    cap: Cap | None = None
    full: int = 0
    highest: float | None = None


def predict_folder(
    images: str | Path | Sequence[str | Path],
    config: str | Path | None = None,
    checkpoint: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    out_dir: str | Path,
    score_thr: float = 0.3,
    classes: Sequence[str] | None = None,
    max_detections: int | None = None,
    batch_size: int = 1,
    tile: int | None = None,
    overlap: float = 0.2,
    full_image: bool = False,
    tta: bool = False,
    formats: Sequence[str] = (),
    tolerance: float = 0.0,
    half: bool = False,
    workers: int = 0,
    device: str | None = None,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
    runtime: str | None = None,
) -> FolderPredictions:
    """Find the instances in images, and write a picture of each and one predictions.json (COCO format).

    An image that cannot be read is named on stderr and skipped. Whatever ends the run, predictions.json then has all
    images that are done. A byte of a file's name that is not UTF-8 is there as JSON's ``\\udcXX``, as Python reads it.

    Args:
        images: an image, a folder, which is searched for images, a glob, or several of them; an image once, however
            often it is named. Names in predictions.json are below the folder, or below the deepest one that holds all.
        config: a config file, ``mmagg::<path>`` or ``mmdet::<path>``, not needed for `weights` that have a name; or the
            file of an exported model (``model.onnx``), alone.
        checkpoint: a .pth file or a URL.
        weights: instead of a checkpoint: a name that ``mmagg weights`` lists, a file or a URL; others' are converted.
        out_dir: a folder for the results. Below that of the images it must be of an earlier run, or have no images.
        score_thr: less certain instances are left out; from 0 to 1.
        classes: as `max_detections`, `batch_size`, `tile`, `overlap`, `full_image`, `tta` and `workers` as of a call of
            `Segmenter`.
        formats: more files for each image, in a folder of the format's name; see `mmagg.formats.image_files.FORMATS`.
        tolerance: pixels by which the outlines of YOLO and labelme may be simplified.
        half: as of `Segmenter`.
        device: e.g. ``cpu`` or ``cuda:0``; by default the GPU where there is one.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read a checkpoint that holds code; see `secure_loading`, which decides for the whole process.
        runtime: of an exported model, as of `Segmenter`.

    Raises:
        InputError: there are no images, or the folder, the config or the checkpoint cannot be used.
    """
    check_fraction(score_thr, '--score-thr')
    given = [Path(one) for one in ([images] if isinstance(images, str | Path) else images)]
    out_dir, kinds = Path(out_dir), {name: format_of(out_dir, name) for name in dict.fromkeys(formats)}
    check_tolerance(tolerance, kinds.values())
    keep_apart({'--out-dir': out_dir}, [*given, *model_files(config, checkpoint, weights, trust=trust_checkpoint)])
    check_folder(out_dir, '--out-dir')
    paths, skipped, root = _found(given, out_dir)
    pictures = picture_paths(paths, out_dir, root=root, flag='--out-dir')
    names = {image: place.as_posix() for image, place in places(paths, root).items()}
    files = {
        name: beside_pictures(paths, out_dir / kind.folder, suffix=kind.suffix, root=root)
        for name, kind in kinds.items()
    }
    for written in files.values():
        keep_pictures_apart(out_dir, written, flag='--out-dir')
    _check_content(out_dir, root, pictures.values(), [file for one in files.values() for file in one.values()])
    segmenter = Segmenter(
        config,
        checkpoint,
        weights=weights,
        device=device,
        half=half,
        cfg_options=cfg_options,
        trust_checkpoint=trust_checkpoint,
        runtime=runtime,
    )
    unusable: dict[Path, InputError] = {}

    def left_out(name: str, error: InputError) -> None:
        bar.update()
        with skipping(Path(name), unusable):
            raise error

    # All scores, of which the highest is said; what is cut into tiles is not merged with what is not wanted.
    results = segmenter(
        paths,
        batch_size=batch_size,
        score_thr=0.0 if tile is None else score_thr,
        classes=classes,
        max_detections=max_detections,
        tile=tile,
        overlap=overlap,
        full_image=full_image,
        tta=tta,
        workers=workers,
        stream=True,
        on_error=left_out,
    )
    if skipped:
        listed = ', '.join(map(str, skipped[:NAMED])) + (', …' if len(skipped) > NAMED else '')
        count = f'{len(skipped)} image{"s" * (len(skipped) > 1)}'
        tqdm.write(f'{count} skipped: {unread(skipped)} ({listed})', file=sys.stderr)
    found = FolderPredictions(coco_json([], segmenter.classes), skipped, cap=segmenter.cap(tile=tile, tta=tta))
    bar = tqdm(total=len(paths), desc='demo', unit='image')
    out_dir.mkdir(parents=True, exist_ok=True)
    # Marks the folder for a next run, should this one be killed; it goes once the first temporary file is there.
    partial_path(out_dir / RESULT, 2).touch()
    try:
        for result in results:
            bar.update()
            path = str(result.path)
            sure = replace(result[result.scores >= score_thr], name=names[path])
            with skipping(Path(path), unusable):
                write_image(sure.plot(), pictures[path])
                for name, kind in kinds.items():
                    write_image_file(sure.annotated(), files[name][path], kind, path=sure.path, tolerance=tolerance)
            if Path(path) in unusable:
                continue
            _add(found, result, sure)
        for kind in kinds.values():
            if kind.classes_file is not None:
                write_text(''.join(f'{name}\n' for name in segmenter.classes), out_dir / kind.classes_file)
    finally:
        bar.close()
        write_json(found.coco, out_dir / RESULT)
    found.unreadable += unusable
    return found


def _add(found: FolderPredictions, result: Result, sure: Result) -> None:
    """Add an image to what is found: all of it, and what is certain."""
    add_image(found.coco, sure.annotated())
    if len(result):
        found.highest = max(found.highest or 0.0, float(result.scores.max()))
    found.full += found.cap is not None and len(sure) >= found.cap.limit


def _found(given: Sequence[Path], out_dir: Path) -> tuple[list[Path], list[Path], Path | None]:
    """The images, those of formats that are not read, and the folder that their names are below, of a single input."""
    paths: dict[str, Path] = {}
    skipped: list[Path] = []
    for one in given:
        several = glob.has_magic(str(one)) and not one.exists()
        for path in matching(str(one)) if several else [one]:
            found, others = find_images(path, exclude=out_dir)
            paths.update((os.path.abspath(image), image) for image in found)
            skipped += others
    (only, *more) = given
    root = only if only.is_dir() else only.parent
    return list(paths.values()), skipped, None if more or glob.has_magic(str(only)) else root


def _check_content(out_dir: Path, root: Path | None, pictures: Iterable[Path], files: Iterable[Path]) -> None:
    """Refuse a folder with images of others in the place of pictures, or, within that of the images, with any."""
    result = out_dir / RESULT
    if any(path.is_file() for path in (result, partial_path(result), partial_path(result, 2))):  # of an earlier run
        return
    within = root is not None and out_dir.resolve().is_relative_to(root.resolve())
    others = (path for path in (out_dir.rglob('*') if within else pictures) if path.suffix.lower() in SUFFIXES)
    for path in (*others, *files):
        if path.exists():
            raise InputError(
                f'--out-dir {out_dir}: {path} is not from an earlier run, which would have left {RESULT}; name a new '
                'folder'
            )

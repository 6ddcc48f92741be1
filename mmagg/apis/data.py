"""The data of a run: ``--coco DIR``, and what is checked before a model is built.

A config names data in several places, and they must agree: the files are there, the evaluator scores the images that
the model sees, the classes are those of the annotation files and as many as the heads know, `filter_cfg` leaves images.
"""

import filecmp
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.config import Config
from tqdm import tqdm

from mmagg.apis.launch import is_main
from mmagg.datasets.coco_check import Finding, check_coco, report
from mmagg.datasets.coco_classes import compare_classes, compare_labels
from mmagg.datasets.coco_file import Id, check_keys, check_loadable, coco_format, read_coco, read_coco_json
from mmagg.datasets.coco_filter import LeftOut, check_indices, left_out
from mmagg.datasets.coco_folder import (
    STAGES,
    annotation_file,
    check_is_folder,
    coco_folder_options,
    image_folder,
    unwrapped,
    with_num_classes,
)
from mmagg.datasets.coco_sources import CocoSource, Part, coco_sources, datasets_of, is_local
from mmagg.datasets.config_parts import dicts
from mmagg.datasets.pipeline_needs import pipeline_needs
from mmagg.datasets.sight import Sight
from mmagg.formats.known import refuse_other_layouts
from mmagg.io.errors import InputError
from mmagg.io.files import require_file

ANNOTATIONS = ('ann_file', 'lvis_file')  # keys of data sets and metrics
Purpose = Literal['train', 'test', 'show']


def use_coco_folder(cfg: Config, folder: str | Path | None, stages: Collection[str] = STAGES) -> None:
    """Let a config read images, classes and their number from ``folder``, if there is one; it is changed in place.

    Args:
        cfg: the config.
        folder: a folder in COCO format; None leaves the config as it is.
        stages: of train, val and test: whose data are needed.

    Raises:
        InputError: the folder or a file of it is missing, or of another format, which is named with the command that
            converts it, or an annotation file is not COCO format.
        ValueError: the splits list other classes, or the config has no place for them.
    """
    if folder is None:
        return
    refuse_other_layouts(Path(folder))
    check_is_folder(Path(folder))
    coco_folder_options(cfg, Path(folder), stages)


def data_files(cfg: Any = None, coco: str | Path | None = None) -> list[Path]:
    """The annotation files and image folders that a config names, and those of a folder in COCO format, there or not.

    Args:
        cfg: a config or a part of one; None for none.
        coco: the folder.
    """
    files = []
    for _, part in dicts(cfg):
        prefix = part.get('data_prefix')
        names = [*map(part.get, ANNOTATIONS), *(prefix.values() if isinstance(prefix, dict) else ())]
        files += [Path(part.get('data_root') or '', name) for name in names if isinstance(name, str)]
    if coco is not None:
        files += [place(Path(coco), split) for split in ('train', 'val') for place in (annotation_file, image_folder)]
    return files


def check_data(
    cfg: Config,
    stages: Collection[str],
    *,
    purpose: Purpose,
    launcher: str = 'none',
    skip_check: bool = False,
    tile: int | None = None,
) -> None:
    """Look at the data that a run will read, before anything is built or written, and print every finding.

    The main process alone does it. The others wait in `mmagg.apis.launch.start_processes`, or end with it.

    Args:
        cfg: the config.
        stages: of train, val and test: whose data are read.
        purpose: to train on them, to score a model on them, or to show or use them otherwise, without a score.
        launcher: the starter of the processes.
        skip_check: do not look at each image, and at what is odd about annotations; those that cannot be read, and what
            contradicts the config, are refused all the same. So it is where data are shown: what is wrong with them is
            to be seen.
        tile: side of the tiles that images are predicted by, so that they are neither resized as a whole nor, large
            ones, read so; None without tiles.

    Raises:
        InputError: a file is missing, parts of the config contradict each other or the data, or the data are bad.
    """
    if not is_main(launcher):
        return
    if 'train' in stages:
        check_semantic_maps(cfg)
    evaluators = [] if purpose == 'show' else list(_evaluators(cfg, stages))
    _check_files(cfg, [*datasets_of(cfg, stages), *evaluators])
    sources = coco_sources(cfg, stages)
    for source in sources:
        if source.dataset._indices in (0, [], ()):
            raise InputError(f'{source.key}.indices={source.dataset._indices}: no image is left')
    filtered = _check_classes(cfg, sources, read=purpose == 'show' or skip_check)
    _check_evaluators(evaluators, sources)
    for found in filtered:
        if found.everything:
            raise InputError(str(found))
    if purpose != 'show' and not skip_check:
        _check_annotations(cfg, sources, purpose, _without_zero(evaluators), tile)
    for found in filtered:
        tqdm.write(f'note: {found}', file=sys.stderr)


def without_annotations(cfg: Config) -> Path | None:
    """The file of the test images if it lists images alone, as COCO's `image_info_*.json` do: nothing can be scored.

    It is read only where the evaluators have another file.
    """
    [*sources] = coco_sources(cfg, ['test'])
    if len(sources) != 1 or not (path := sources[0].annotations).is_file():
        return None
    scored = {Path(evaluator['ann_file']) for _, evaluator in _evaluators(cfg, ['test'])}
    return None if path in scored or 'annotations' in read_coco_json(path) else path


def check_semantic_maps(cfg: Config) -> None:
    """Refuse a training that loads semantic maps, as HTC's semantic branch needs them, from data that have none."""
    dataset = unwrapped((cfg.get('train_dataloader') or {}).get('dataset') or {})
    wanted = any(step.get('with_seg') for step in dataset.get('pipeline') or [])
    if wanted and not (dataset.get('data_prefix') or {}).get('seg'):
        raise InputError(
            'the training pipeline loads semantic maps (with_seg=True), but the data have none; take a config without '
            'a semantic branch, such as configs/a2fpn/htc-without-semantic_r50_a2fpn_20e_coco.py'
        )


def _check_files(cfg: Config, parts: Iterable[Part]) -> None:
    """Refuse a config whose data are not there; files behind a storage backend are not looked for."""
    for key, part in parts:
        folder = (part.get('data_prefix') or {}).get('img')
        for name, value in (('ann_file', part.get('ann_file')), ('data_prefix.img', folder)):
            if not value or not is_local(part, value):
                continue
            path = Path(part.get('data_root') or '') / value
            if not path.exists():
                raise InputError(
                    f'{path}: no such file or folder, {key}.{name} of config {cfg.filename or ""}; '
                    'set it, or pass --coco DIR with your data'
                )
            if name == 'ann_file':  # it is read more than once, and a pipe, such as <(…) of a shell, is then empty
                require_file(path, f'{key}.ann_file')


def _check_classes(cfg: Config, sources: list[CocoSource], *, read: bool) -> list[LeftOut]:
    """Compare the classes of config, files and model, with `read` also make sure that all annotations can be read.

    Returns:
        what `filter_cfg` leaves out.
    """
    heads = {key: head['num_classes'] for key, head in with_num_classes(cfg.model)}
    filtered = []
    for path in dict.fromkeys(source.annotations for source in sources):
        content = read_coco(path)  # the largest part of the work for large files, which fill the memory: one at a time
        check_keys(path, 'category', content.categories, 'name')
        names = [str(category['name']) for category in content.categories]
        if read:  # mmdet crashes or hangs on some that cannot be
            check_loadable(content)
        for source in sources:
            if source.annotations == path:
                compare_classes(source, names, heads)
                filtered.append(left_out(source, content))
                check_indices(filtered[-1])
    compare_labels(sources)
    return [found for found in filtered if found.small or found.empty]


def _check_evaluators(evaluators: list[Part], sources: list[CocoSource]) -> None:
    """Refuse an evaluator that has other images than the data set whose results it gets.

    Other annotations of exactly the same images are said. A part of them is refused: splits may count from 1 each.
    """
    for key, evaluator in evaluators:
        seen = [source for source in sources if source.stage == key.partition('_')[0]]
        path = Path(evaluator['ann_file'])
        if len(seen) > 1:
            _check_joined(key, path, seen)
        if len(seen) != 1 or filecmp.cmp(path, seen[0].annotations, shallow=False):
            continue
        if _images(path) == _images(seen[0].annotations):
            note = f'note: the scores are by {key}.ann_file, {path}, not by the annotations of {seen[0].annotations}'
            tqdm.write(note, file=sys.stderr)
        else:
            raise InputError(
                f'{seen[0].key}.ann_file is {seen[0].annotations}, but {key}.ann_file is {path}, which differs: '
                'predictions would be compared with the objects of other images; set both to the same file'
            )


def _check_joined(key: str, path: Path, sources: list[CocoSource]) -> None:
    """Refuse an evaluator for several data sets, unless its file has the images of all, each with an id of its own."""
    known = _images(path)
    told: set[Id] = set()
    for source in sources:
        images = _images(source.annotations)
        strange = next((one for one, name in images.items() if known.get(one) != name or one in told), None)
        if strange is not None:
            raise InputError(
                f'{key}.ann_file is {path}, to which image {strange!r} of {source.key}, {images[strange]}, is another '
                'or unknown: give it a file of the images of all data sets, with ids that differ, or use '
                "mmdet's MultiDatasetsEvaluator"
            )
        told |= images.keys()


def _images(path: Path) -> dict[Id, str]:
    """The file names of an annotation file's images, without folders, by their ids."""
    with coco_format(path):
        return {image['id']: PurePosixPath(image['file_name']).name for image in read_coco(path).images}


def _evaluators(cfg: Config, stages: Collection[str]) -> Iterator[Part]:
    """The configs of the evaluators with an annotation file that can be read here, each with its dotted key."""
    for stage in stages:
        for key, evaluator in dicts(cfg.get(f'{stage}_evaluator'), f'{stage}_evaluator'):
            if evaluator.get('ann_file') and is_local(evaluator, evaluator['ann_file']):
                yield key, evaluator


def _without_zero(evaluators: Iterable[Part]) -> set[Path]:
    """The annotation files of mmdet's `CocoMetric` and its like, which never find an annotation of id 0."""
    files = set()
    for _, evaluator in evaluators:
        kind = evaluator.get('type')
        kind = METRICS.get(kind) if isinstance(kind, str) else kind
        if isinstance(kind, type) and issubclass(kind, CocoMetric):
            files.add(Path(evaluator['ann_file']))
    return files


def _check_annotations(
    cfg: Config, sources: list[CocoSource], purpose: Purpose, without_zero: set[Path], tile: int | None
) -> None:
    """Check each image and annotation, once, and print what is found; refuse data with something fatal."""
    fatal: list[Finding] = []
    for (annotations, images), stage in {(s.annotations, s.images): s.stage for s in reversed(sources)}.items():
        needs = pipeline_needs(cfg[f'{stage}_dataloader'].dataset)
        sight = Sight.of(cfg) if stage == 'train' else None
        needs |= {'sight': sight, 'finds_zero': annotations not in without_zero, 'tile': tile}
        fatal += checked(annotations, images, training=purpose == 'train', **needs)
    refuse(fatal, purpose)


def checked(annotations: Path, images: Path, **needs: Any) -> list[Finding]:
    """Check a file of annotations and its images, and print what is found; returns what is fatal of it.

    Args:
        annotations: the file.
        images: the folder.
        needs: others of `check_coco`.
    """
    found = check_coco(annotations, images, **needs)
    if found:
        tqdm.write(f'{annotations}:\n{report(found)}', file=sys.stderr)
    return [finding for finding in found if finding.severity == 'fatal']


def refuse(fatal: list[Finding], purpose: Purpose) -> None:
    """Refuse data with something fatal, by an `InputError`."""
    if fatal:
        anyway = '' if any(one.everything for one in fatal) else f', or {purpose} anyway with --skip-check'
        raise InputError(f'{len(fatal)} fatal problem(s) in the data, see above; fix them{anyway}')

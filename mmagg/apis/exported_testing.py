"""Testing an exported model on a folder in COCO format, by the metric of the configs."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import Evaluator
from tqdm import tqdm

from mmagg.apis.data import checked, data_files, refuse
from mmagg.apis.result import Result
from mmagg.apis.segmenter import Segmenter
from mmagg.apis.testing_outputs import check_outputs, files_of
from mmagg.apis.tiled_testing import tile_options
from mmagg.datasets.coco_folder import (
    annotation_file,
    check_is_folder,
    class_names,
    image_folder,
    splits,
    warn_of_training_images,
)
from mmagg.evaluation.coco_instance_metric import COCOInstanceMetric
from mmagg.evaluation.coco_scores import read_annotations
from mmagg.evaluation.results import CocoResults
from mmagg.formats.known import refuse_other_layouts
from mmagg.io.errors import InputError, check_fraction
from mmagg.io.files import check_file, write_json
from mmagg.io.images import write_image
from mmagg.io.paths import keep_apart
from mmagg.io.pictures import picture_paths

SHOWN = 4  # names of classes in a message


def evaluate_exported(
    model: str | Path,
    *,
    coco: str | Path | None,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    show_dir: str | Path | None = None,
    show_score_thr: float = 0.3,
    tile: int | None = None,
    overlap: float | None = None,
    full_image: bool = False,
    skip_check: bool = False,
    runtime: str | None = None,
    on_metrics: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Evaluate an exported model on the validation images of a folder, which the file knows nothing of.

    Args:
        model: the file.
        coco: the folder; its categories must be the model's classes, in any order.
        work_dir: for metrics.json; default: ``work_dirs/<model's name>``.
        out: a .json file for the predictions.
        show_dir: as the others of `mmagg.apis.testing.test`.

    Returns:
        The metrics by name, fractions, as of `COCOInstanceMetric`.

    Raises:
        InputError: the model, the data or an option cannot be used.
    """
    out, show_dir = (None if path is None else Path(path) for path in (out, show_dir))
    work_dir = Path(work_dir or Path('work_dirs') / Path(model).stem)
    check_fraction(show_score_thr, '--show-score-thr')
    check_outputs(out, show_dir, None)
    if out is not None and out.suffix != '.json':
        raise InputError(f"--out {out}: mmdet's samples are those of its models; name a .json file")
    tiles = tile_options(tile, overlap, full_image, tta=False) or {}
    if coco is None:
        raise InputError(f'{model}: an exported model names no data: add --coco DIR, a folder in COCO format')
    scores = work_dir / 'metrics.json'
    check_file(scores, '--work-dir')
    outputs = {'--show-dir': show_dir, '--work-dir': scores}
    for flag, file in (*outputs.items(), *(('--out', file) for file in files_of(out))):
        keep_apart({flag: file}, [model, *data_files(coco=coco)])
    folder = Path(coco)
    refuse_other_layouts(folder)
    check_is_folder(folder)
    used = splits(folder, ['test'])
    annotations, images = (place(folder, used['test']) for place in (annotation_file, image_folder))
    names = class_names(annotations)
    segmenter = Segmenter(model, runtime=runtime)
    order = places_of(segmenter.classes, names, model=model, annotations=annotations)
    warn_of_training_images(folder, used)
    if not skip_check:
        refuse(checked(annotations, images, training=False, tile=tile), 'test')
    listed = [(image['id'], images / image['file_name']) for image in read_annotations(annotations).images]
    paths = [path for _, path in listed]
    pictures = {} if show_dir is None else picture_paths(paths, show_dir, root=images, flag='--show-dir')
    samples, full = [], 0
    cap = segmenter.cap(tile=tile)
    results = segmenter(paths, score_thr=0.0, stream=True, **tiles)
    for (image_id, path), result in zip(
        listed, tqdm(results, desc='test', unit='image', total=len(paths)), strict=True
    ):
        samples.append(_sample(image_id, result, order))
        full += cap is not None and len(result) >= cap.limit
        if pictures:
            write_image(result[result.scores >= show_score_thr].plot(), pictures[str(path)])
    kinds = ['bbox', 'segm'] if segmenter.model.has_masks else ['bbox']
    metrics = _scored(samples, annotations, names, out, kinds)
    if cap is not None and full:
        tqdm.write(f'note: {cap.reached(full, len(samples))}', file=sys.stderr)
    write_json(metrics, scores)
    if on_metrics is not None:
        on_metrics(metrics)
    return metrics


def places_of(classes: Sequence[str], names: Sequence[str], *, model: str | Path, annotations: Path) -> np.ndarray:
    """The place of each of a model's classes among the categories of a file.

    Raises:
        InputError: they are others.
    """
    if sorted(classes) != sorted(names):
        ours, theirs = (
            [one for one in some if one not in other] for some, other in ((classes, names), (names, classes))
        )
        parts = [
            f'only {file} has {", ".join(some[:SHOWN])}'
            for file, some in ((model, ours), (annotations, theirs))
            if some
        ]
        raise InputError(f'{model}: its classes are not those of the data: {"; ".join(parts)}')
    return np.array([names.index(name) for name in classes])


def _sample(image_id: Any, result: Result, order: np.ndarray) -> dict[str, Any]:
    """What metrics read of an image."""
    found = {'labels': order[result.labels], 'scores': result.scores, 'bboxes': result.boxes}
    if None not in result.rles:
        found['masks'] = list(result.rles)
    return {'img_id': image_id, 'pred_instances': found}


def _scored(
    samples: list[dict], annotations: Path, names: Sequence[str], out: Path | None, kinds: list[str]
) -> dict[str, Any]:
    """Write the predictions, then score them: boxes ('bbox'), masks ('segm')."""
    metric = COCOInstanceMetric(ann_file=annotations, metric=kinds)
    ids = metric.annotations.category_ids(names)
    writers = [] if out is None else [CocoResults(path=out, category_ids=ids)]
    evaluator = Evaluator([*writers, metric])
    evaluator.dataset_meta = {'classes': tuple(names)}
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))

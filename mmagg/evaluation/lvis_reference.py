"""Precision by LVIS's own package, `lvis`: the reference for what faster-coco-eval counts much faster.

Shape shorthand: T IoU thresholds, R recall thresholds, K categories.
"""

import logging
from typing import Any

import numpy as np

from mmagg.io.errors import InputError


class _NumPyWithFloat:
    """NumPy with `np.float`, which lvis 0.5.3 names and NumPy has no longer since 1.24."""

    float = float

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def require_lvis() -> None:
    """Raise InputError where the package cannot be imported."""
    try:
        _imported()
    except ImportError as error:
        raise InputError(
            "evaluator='lvis' needs the package lvis, which is not installed: pip install 'mmagg[lvis]'"
        ) from error


def reference_precision(truth: dict, detections: list[dict], kind: str, *, max_dets: int) -> np.ndarray:
    """Precision by LVIS's rules, at IoU 0.5 to 0.95.

    Args:
        truth: content of an LVIS file: `images` with their lists of negative and of not exhaustive categories,
            `categories`, and `annotations` with `area`. It is not changed.
        detections: result records with `bbox` or, for masks, `segmentation`; the evaluator adds its own fields to them.
        kind: `'bbox'` or `'segm'`.
        max_dets: detections of an image that count, of all categories together.

    Returns:
        (T, R, K), -1 where a category has no object.
    """
    lvis = _imported()
    file = lvis.LVIS.__new__(lvis.LVIS)  # its constructor reads from a path alone
    file.logger = logging.getLogger('lvis')
    # A category's frequency makes LVIS's APr, APc and APf, which are not asked for.
    file.dataset = {**truth, 'categories': [{'frequency': 'f', **category} for category in truth['categories']]}
    file._create_index()
    if not detections:  # of which LVISResults cannot be made
        known = {annotation['category_id'] for annotation in truth['annotations']}
        return np.broadcast_to([0.0 if one in known else -1.0 for one in sorted(file.cats)], (10, 101, len(file.cats)))
    evaluator = lvis.LVISEval(file, lvis.LVISResults(file, detections, max_dets=max_dets), kind)
    evaluator.evaluate()
    evaluator.accumulate()
    return evaluator.eval['precision'][..., 0]  # objects of all sizes


def _imported() -> Any:
    """The package, which would otherwise write to the root logger, and fail on `np.float`."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    import lvis
    import lvis.eval

    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger('lvis').setLevel(logging.ERROR)
    lvis.eval.np = _NumPyWithFloat()
    return lvis

"""What the pipeline of a data set asks of the files: masks, and images that stay images when they are resized."""

from collections.abc import Iterator
from typing import Any

from mmagg.datasets.config_parts import dicts, type_name


def pipeline_needs(dataset: dict) -> dict[str, Any]:
    """Arguments of `check_coco` for a data set.

    Args:
        dataset: its config, wrappers included.

    Returns:
        `masks`: whether masks are loaded, or what is loaded is not said; `resized_to`: the least number of pixels that
        the longer side of an image becomes while its proportions are kept, None if none is resized so.
    """
    steps = [part for _, part in dicts(dataset) if 'type' in part]
    loading = [step for step in steps if type_name(step).endswith('Annotations')]
    masks = [step.get('with_mask') or 'Polygon' in type_name(step) for step in loading]
    longest = [side for step in steps for side in _longer_sides(step)]
    return {'masks': any(masks) or not masks, 'resized_to': min(longest, default=None)}


def _longer_sides(step: dict) -> Iterator[int]:
    """Pixels of the longer side that a step resizes to, keeping proportions: one for each scale that it may take."""
    if not step.get('keep_ratio', (step.get('resize_cfg') or {}).get('keep_ratio')):
        return
    scales = step.get('scales') or step.get('scale') or ()
    if isinstance(scales, int) or (scales and all(isinstance(side, int) for side in scales)):
        scales = [scales]
    least = min(step.get('ratio_range') or (1,))
    for scale in scales:
        yield int(least * (scale if isinstance(scale, int) else max(scale)))

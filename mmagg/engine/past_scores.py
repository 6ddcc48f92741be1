"""The scores of a run's validations, from mmengine's records in its work dir.

A checkpoint is saved before the validation of its epoch, so it does not know what came of that.
"""

import re
from pathlib import Path

from mmagg.visualization.curves import SCALARS, is_training, read_lines, starts_anew


def past_scores(work_dir: Path, name: str) -> dict[int, float]:
    """The score ``name`` of each validation of the run in ``work_dir``, by epoch, or by iteration where those count.

    Those that a later start has validated again, or goes on from before, are left out.

    Args:
        work_dir: the run's.
        name: as the metric has it, such as `coco/segm_mAP`.
    """
    scores: dict[int, float] = {}
    for path in sorted(work_dir.glob(SCALARS)):
        found = {line['step']: line[name] for line in read_lines(path) if name in line and not is_training(line)}
        if starts_anew(path):
            scores = {}
        if found:
            scores = {step: score for step, score in scores.items() if step < min(found)}
        scores |= found
    return dict(sorted(scores.items()))


def step_of(checkpoint: str | Path) -> int | None:
    """The epoch or iteration in a checkpoint's name; None for another name."""
    found = re.fullmatch(r'.*(?:epoch|iter)_(\d+)\.pth', Path(checkpoint).name)
    return None if found is None else int(found[1])

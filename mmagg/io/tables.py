"""Results of analyses as JSON and CSV hold them."""

import argparse
import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmagg.datasets.result_files import Truth
from mmagg.evaluation.matching import Detections
from mmagg.io.files import written_whole


def heading(args: argparse.Namespace, truth: Truth, detections: Detections) -> dict[str, Any]:
    """What was analysed: the files, and how much is in them."""
    return {
        'annotations': str(args.annotations),
        'results': str(args.results),
        'iou_type': args.iou_type,
        'images': len(truth.image_ids),
        'objects': int((~truth.objects.crowd).sum()),
        'detections': len(detections),
    }


def plain(values: np.ndarray) -> Any:
    """Nested lists of numbers, or one number; None where it is nan."""
    return np.where(np.isnan(values), None, values).tolist()


def write_table(columns: Sequence[str], rows: Iterable[Sequence], path: Path) -> None:
    """Write a CSV file, whole or not at all. None becomes an empty field."""
    with written_whole(path) as temporary, temporary.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)

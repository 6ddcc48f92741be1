"""Numbers for tables and files, and CSV files."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from mmagg.io.files import written_whole

NONE = '–'  # where there is no value


def score(value: float) -> str:
    """A score as COCO's: a fraction, or a dash for -1, which stands for no objects to score."""
    return NONE if value == -1 else f'{value:.4f}'


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in per cent, or a dash where there is no value."""
    return NONE if value is None or math.isnan(value) else f'{100 * value:.{digits}f}'


@overload
def plain(values: np.ndarray) -> list: ...
@overload
def plain(values: float) -> float | None: ...
def plain(values: np.ndarray | float) -> list | float | None:
    """An array as nested lists, or a number as it is; None for nan, as JSON needs it."""
    return np.where(np.isnan(values), np.array(None), values).tolist()


def write_table(columns: Sequence[str], rows: Iterable[Sequence], path: Path) -> None:
    """Write a CSV file, whole or not at all. None becomes an empty field, a byte that is no UTF-8 ``\\udcXX``."""
    with (
        written_whole(path) as temporary,
        temporary.open('w', newline='', encoding='utf-8', errors='backslashreplace') as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def write_records(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a CSV file, whole or not at all: a row for each record, an empty field where it lacks a column."""
    columns = list(dict.fromkeys(key for record in records for key in record))
    write_table(columns, ([record.get(key) for key in columns] for record in records), path)

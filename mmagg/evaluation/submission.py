"""Result files as COCO's evaluation server takes them."""

import json
import re
from pathlib import Path
from reprlib import repr as shortened
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from mmagg.datasets.coco_defects import box_defect, is_finite, mask_defect
from mmagg.datasets.coco_file import Entry, check_keys, mask_lengths, read_records, refuse
from mmagg.evaluation.results import PARTS, records_of
from mmagg.io.errors import InputError
from mmagg.io.files import written_whole

NAME = re.compile(r'detections_[\w-]+_[\w.+-]+_results\.zip')


def check_name(out: Path) -> None:
    """Refuse a name that the server does not know.

    Raises:
        InputError: says how it is to be.
    """
    if not NAME.fullmatch(out.name):
        raise InputError(
            f'{out}: the server wants detections_SET_ALG_results.zip, as detections_test-dev2017_solo_results.zip'
        )


def pack_results(results: str | Path, out: str | Path, *, iou_type: str = 'segm') -> int:
    """Write the masks or the boxes of a COCO result file to a zip archive, in a JSON of the same name.

    Args:
        results: records of masks, of boxes, or of both.
        out: ``detections_SET_ALG_results.zip``.
        iou_type: 'segm' for masks, 'bbox' for boxes; the server has a challenge for each.

    Returns:
        the number of records.

    Raises:
        InputError: the name is not the server's, the file cannot be read, or a record is not as the server reads it.
    """
    out = Path(out)
    check_name(out)
    try:
        records = read_records(results)
    except OSError as error:
        raise InputError(f'{results}: {error.strerror}') from error
    _check_records(results, records, PARTS[iou_type])
    inside = ZipInfo(f'{out.stem}.json')  # of a fixed date: the same results are the same archive
    inside.compress_type = ZIP_DEFLATED
    with written_whole(out) as temporary, ZipFile(temporary, 'w') as archive:
        archive.writestr(inside, json.dumps(records_of(records, iou_type)))
    return len(records)


def _check_records(path: str | Path, records: list[Entry], part: str) -> None:
    """Refuse what the server would: ids, scores, boxes and masks that are none."""
    check_keys(path, 'detection', records, 'image_id', 'category_id', 'score', part)
    lengths = mask_lengths(record.get('segmentation') for record in records)
    for place, (record, length) in enumerate(zip(records, lengths, strict=True)):
        where, value = f'{path}: detection {place}', record[part]
        for key in ('image_id', 'category_id'):
            if type(record[key]) is not int:
                raise InputError(f'{where}: its {key} is {shortened(record[key])}, not a whole number')
        if not is_finite(record['score']):
            raise InputError(f'{where}: its score is {shortened(record["score"])}, not a finite number')
        if part == 'bbox':
            refuse(path, 'detection', place, [box_defect(value)])
            continue
        if not isinstance(value, dict) or not isinstance(value.get('counts'), str):
            raise InputError(f'{where}: its mask is {shortened(value)}, not a compressed run-length code')
        refuse(path, 'detection', place, [mask_defect(value, length, None, None)])

"""Analyses called from Python: folders by their name, and refusals that stand in the functions."""

import json
from pathlib import Path

import pytest
from made_up_results import coco_format, made_up, truth_of

from mmagg.datasets.coco_reader import read_truth
from mmagg.evaluation.calibration import calibration
from mmagg.evaluation.comparison import compare
from mmagg.evaluation.confusion import confusion
from mmagg.evaluation.errors import error_analysis
from mmagg.evaluation.groups import ap_by_group
from mmagg.evaluation.precision_recall import precision_recall
from mmagg.io.errors import InputError

ANALYSES = calibration, confusion, error_analysis, ap_by_group, precision_recall


@pytest.mark.parametrize('analysis', [*ANALYSES, compare], ids=lambda function: function.__name__)
def test_results_are_written_to_a_folder_by_its_name(analysis, tmp_path: Path) -> None:
    objects, detections = made_up(0)
    found = [detections, detections] if analysis is compare else [detections]
    analysis(truth_of(objects), *found).write(str(tmp_path / 'out'))
    assert any((tmp_path / 'out').iterdir())


@pytest.mark.parametrize(
    'analysis, options, message',
    [
        (confusion, dict(iou_thr=0), '--iou-thr 0: must be more than 0'),
        (calibration, dict(iou_thr=0), '--iou-thr 0: must be more than 0'),
        (calibration, dict(bins=0), '--bins 0: at least one'),
        (error_analysis, dict(iou_thr=0.1), '--iou-thr 0.1: must be more than 0.1'),
        (ap_by_group, dict(edges=(0.5, 0.1)), '--edges 0.5 0.1: must ascend'),
        (ap_by_group, dict(edges=()), '--edges : must ascend'),
        (precision_recall, dict(shown=['1', 'horse']), '--class horse: not in'),
    ],
)
def test_what_has_no_meaning_is_refused(analysis, options: dict, message: str) -> None:
    objects, detections = made_up(0)
    with pytest.raises(InputError, match=message):
        analysis(truth_of(objects), detections, **options)


def test_annotations_must_be_there_and_of_a_known_kind(tmp_path: Path) -> None:
    truth, _ = coco_format(*made_up(0))
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(truth))
    with pytest.raises(InputError, match='--iou-type segmm: choose segm or bbox'):
        read_truth(path, 'segmm')
    del truth['annotations']
    path.write_text(json.dumps(truth))
    with pytest.raises(InputError, match='it has no list "annotations"'):
        read_truth(path, 'bbox')

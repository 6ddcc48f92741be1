"""tools/analysis/calibration.py as a user calls it."""

import csv
import json
from pathlib import Path

import cv2
import pytest

from mmagg.cli import analyse_calibration
from mmagg.cli.main import run

FILES = ['calibration.csv', 'calibration.json', 'calibration.png']


def calibrate(*arguments: object) -> int:
    return run(analyse_calibration, [str(argument) for argument in arguments])


def results(annotations: Path, path: Path, score: float) -> Path:
    """The objects themselves, all with one score."""
    content = json.loads(annotations.read_text())['annotations']
    kept = [{key: entry[key] for key in ('image_id', 'category_id', 'segmentation')} for entry in content]
    path.write_text(json.dumps([{**entry, 'score': score} for entry in kept]))
    return path


def test_perfect_masks_with_a_low_score(annotations: Path, tmp_path: Path, capsys) -> None:
    path, out = results(annotations, tmp_path / 'results.json', 0.3), tmp_path / 'out'
    count = len(json.loads(annotations.read_text())['annotations'])
    assert calibrate(annotations, path, '--bins', 4, '--out', out) == 0
    assert sorted(path.name for path in out.iterdir()) == FILES
    report = json.loads((out / 'calibration.json').read_text())
    assert (report['error'], report['localisation_error']) == pytest.approx((0.7, 0.7))
    expected = {'low': 0.25, 'high': 0.5, 'detections': count, 'score': 0.3, 'precision': 1, 'iou': 1}
    assert report['bins'][1] == pytest.approx(expected)
    rows = list(csv.DictReader((out / 'calibration.csv').open()))
    assert [row['detections'] for row in rows] == ['0', str(count), '0', '0']
    assert rows[0]['precision'] == ''
    assert cv2.imread(str(out / 'calibration.png')).std() > 10
    assert 'calibration error 70.0' in capsys.readouterr().out


def test_no_detections_and_bad_input(annotations: Path, tmp_path: Path, capsys) -> None:
    path, out = tmp_path / 'results.json', tmp_path / 'out'
    path.write_text('[]')
    unlikely = results(annotations, tmp_path / 'unlikely.json', 1.5)
    for arguments, message in (
        ([tmp_path / 'none.json', '--out', out], 'none.json: No such file'),
        ([path, '--out', path], 'is an input'),
        ([path, '--iou-thr', 0, '--out', out], '--iou-thr 0'),
        ([unlikely, '--out', out], 'unlikely.json: scores are not all from 0 to 1'),
    ):
        assert calibrate(annotations, *arguments) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith('error: ')
        assert message in error
        assert not out.exists()
    assert calibrate(annotations, path, '--out', out) == 0
    report = json.loads((out / 'calibration.json').read_text())
    assert report['error'] is report['bins'][0]['score'] is None

"""tools/analysis/precision_recall.py as a user calls it."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmagg.cli import analyse_precision_recall
from mmagg.cli.main import run

FILES = ['precision_recall.csv', 'precision_recall.json', 'precision_recall.png']


def curves(*arguments: object) -> int:
    return run(analyse_precision_recall, [str(argument) for argument in arguments])


def test_published_results(shared: Path, tmp_path: Path, capsys) -> None:
    folder = shared / 'data/eval_fixtures/cocoapi'
    results = folder / 'instances_val2014_fakesegm100_results.json'
    assert curves(folder / 'instances_val2014_100.json', results, '--class', 'person', 'dog', '--out', tmp_path) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    report = json.loads((tmp_path / 'precision_recall.json').read_text())
    expected = json.loads((folder / 'expected.json').read_text())['segm']
    assert np.mean(report['ap']) == pytest.approx(expected['AP'], abs=1e-9)
    assert np.mean(report['precision'], axis=1) == pytest.approx(report['ap'])
    rows = list(csv.DictReader((tmp_path / 'precision_recall.csv').open(encoding='utf-8')))
    names = list(dict.fromkeys(row['class'] for row in rows))
    assert names[0] == ''
    assert len(rows) == 10 * len(names)
    for row in rows[:30]:
        points = [float(value) for key, value in row.items() if key.startswith('precision_at')]
        assert len(points) == 101
        assert np.mean(points) == pytest.approx(float(row['ap']), abs=1e-6)
        precision, recall = float(row['best_f1_precision']), float(row['best_f1_recall'])
        assert float(row['best_f1_f1']) * (precision + recall) == pytest.approx(2 * precision * recall, abs=1e-5)
    assert [float(row['ap']) for row in rows[:10]] == pytest.approx(report['ap'], abs=1e-6)
    assert float(rows[0]['best_f1_scores']) == report['best_f1']['scores'][0]
    height, width = cv2.imread(str(tmp_path / 'precision_recall.png')).shape[:2]
    assert width > 2.5 * height  # two panels
    printed = capsys.readouterr().out
    assert f'0.50{100 * expected["AP50"]:8.1f}' in printed
    assert 'dog' in printed


def test_no_detections_and_bad_input(annotations: Path, tmp_path: Path, capsys) -> None:
    path, out = tmp_path / 'results.json', tmp_path / 'out'
    path.write_text('[]')
    for arguments, message in (
        ([tmp_path / 'none.json', '--out', out], 'none.json: No such file'),
        ([path, '--out', path], 'is an input'),
        ([path, '--class', 'unicorn', '--out', out], '--class unicorn: not in'),
    ):
        assert curves(annotations, *arguments) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith('error: ')
        assert message in error
        assert not out.exists()
    assert curves(annotations, path, '--out', out) == 0
    report = json.loads((out / 'precision_recall.json').read_text())
    assert report['ap'] == report['best_f1']['f1'] == [0] * 10
    assert report['best_f1']['scores'] == [None] * 10
    empty = tmp_path / 'empty.json'
    empty.write_text(json.dumps({**json.loads(annotations.read_text()), 'annotations': []}))
    assert curves(empty, path, '--out', out) == 0
    assert json.loads((out / 'precision_recall.json').read_text())['ap'] == [None] * 10
    assert len((out / 'precision_recall.csv').read_text().splitlines()) == 1

"""tools/analysis/ap_by_group.py as a user calls it."""

import csv
import json
from pathlib import Path

import cv2
import pytest

from mmagg.cli import analyse_groups
from mmagg.cli.main import run
from mmagg.evaluation.groups import EDGES

FILES = ['ap_by_group.csv', 'ap_by_group.json', 'ap_by_group.png']


def measure(*arguments: object) -> int:
    return run(analyse_groups, [str(argument) for argument in arguments])


def test_published_results(shared: Path, tmp_path: Path, capsys) -> None:
    folder = shared / 'data/eval_fixtures/cocoapi'
    results = folder / 'instances_val2014_fakesegm100_results.json'
    arguments = folder / 'instances_val2014_100.json', results, '--edges', 0.1, 0.5, '--out', tmp_path
    assert measure(*arguments) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    report = json.loads((tmp_path / 'ap_by_group.json').read_text())
    expected = json.loads((folder / 'expected.json').read_text())['segm']
    sizes = {row['group']: row for row in report['size']}
    for name, key in (('all', ''), ('small', 's'), ('medium', 'm'), ('large', 'l')):
        assert sizes[name]['ap'] == pytest.approx(expected[f'AP{key}'], abs=1e-9)
    assert [row['group'] for row in report['coverage']] == ['up to 10 %', '10–50 %', 'over 50 %']
    assert sum(row['objects'] for row in report['coverage']) == report['objects'] == 830
    rows = list(csv.DictReader((tmp_path / 'ap_by_group.csv').open(encoding='utf-8')))
    whole = [row for row in rows if not row['class']]
    assert [(row['by'], row['group'], float(row['ap'])) for row in whole] == [
        (kind, row['group'], row['ap']) for kind in ('size', 'coverage') for row in report[kind]
    ]
    assert sum(int(row['objects']) for row in rows if row['class'] and row['group'] == 'small') == 407
    assert cv2.imread(str(tmp_path / 'ap_by_group.png')).std() > 10
    assert f'{100 * expected["APs"]:.1f}' in capsys.readouterr().out


def test_no_detections_and_bad_input(annotations: Path, tmp_path: Path, capsys) -> None:
    path, out = tmp_path / 'results.json', tmp_path / 'out'
    path.write_text('[]')
    for arguments, message in (
        ([tmp_path / 'none.json', '--out', out], 'none.json: No such file'),
        ([path, '--out', path], 'is an input'),
        ([path, '--edges', 0.3, 0.1], '--edges 0.3 0.1: must ascend'),
        ([path, '--edges', 0.3, 1], '--edges 0.3 1: must ascend and be less than 1'),
    ):
        assert measure(annotations, *arguments) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith('error: ')
        assert message in error
        assert not out.exists()
    assert analyse_groups.parser().get_default('edges') == list(EDGES)
    assert measure(annotations, path) == 0
    assert measure(annotations, path, '--out', out) == 0
    report = json.loads((out / 'ap_by_group.json').read_text())
    assert report['size'][0]['ap'] == 0
    assert {row['ap'] for row in report['size']} <= {0, None}

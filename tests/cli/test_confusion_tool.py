"""tools/analysis/confusion.py as a user calls it."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmagg.cli import analyse_confusion
from mmagg.cli.main import run


def confusion(*arguments: object) -> int:
    return run(analyse_confusion, [str(argument) for argument in arguments])


def table(out: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Names of columns and rows, and counts."""
    with (out / 'confusion.csv').open(encoding='utf-8') as file:
        head, *rows = csv.reader(file)
    return head[1:], [row[0] for row in rows], np.array([row[1:] for row in rows], int)


def test_each_object_taken_for_the_next_class(annotations: Path, tmp_path: Path, capsys) -> None:
    content = json.loads(annotations.read_text())
    ids = sorted(category['id'] for category in content['categories'])
    following = dict(zip(ids, ids[1:] + ids[:1], strict=True))
    results = [
        {
            'image_id': annotation['image_id'],
            'category_id': following[annotation['category_id']],
            'score': 0.9,
            'segmentation': annotation['segmentation'],
        }
        for annotation in content['annotations']
    ]
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(results))
    assert confusion(annotations, path, '--out', tmp_path / 'out') == 0
    columns, names, counts = table(tmp_path / 'out')
    assert columns[-1] == 'missed'
    assert names[-1] == 'background'
    assert columns[:-1] == names[:-1]
    labels = [ids.index(annotation['category_id']) for annotation in content['annotations']]
    expected = np.zeros((len(ids) + 1, len(ids) + 1), int)
    np.add.at(expected, (labels, [(label + 1) % len(ids) for label in labels]), 1)
    np.testing.assert_array_equal(counts, expected)
    assert cv2.imread(str(tmp_path / 'out/confusion.png')).std() > 10
    assert f'right 0, wrong class {len(labels)}, missed 0, on background 0' in capsys.readouterr().out
    assert confusion(annotations, path, '--score-thr', 0.95, '--out', tmp_path / 'none') == 0
    assert table(tmp_path / 'none')[2][:-1, -1].sum() == len(labels)


def test_many_classes(shared: Path, tmp_path: Path) -> None:
    folder = shared / 'data/eval_fixtures/lvis'
    results = folder / 'lvis_synthetic_results_100.json'
    assert confusion(folder / 'lvis_val_100.json', results, '--score-thr', 0, '--out', tmp_path) == 0
    assert table(tmp_path)[2].shape == (1231, 1231)
    assert max(cv2.imread(str(tmp_path / 'confusion.png')).shape) < 4000


def test_no_detections_and_bad_input(annotations: Path, tmp_path: Path, capsys) -> None:
    path, out = tmp_path / 'results.json', tmp_path / 'out'
    path.write_text('[]')
    for arguments, message in (
        ([tmp_path / 'none.json', '--out', out], 'none.json: No such file'),
        ([path, '--out', path], 'is an input'),
        ([path, '--out', tmp_path], f'holds {path}'),
        ([path, '--out', path / 'out'], 'is a file; name a folder'),
        ([path, '--iou-thr', 0, '--out', out], '--iou-thr 0'),
    ):
        assert confusion(annotations, *arguments) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith('error: ')
        assert message in error
        assert not out.exists()
    assert confusion(annotations, path, '--out', out) == 0
    counts = table(out)[2]
    assert counts[:-1, -1].sum() == counts.sum() == len(json.loads(annotations.read_text())['annotations'])


@pytest.mark.slow
def test_the_script_starts_from_anywhere(run, tmp_path: Path) -> None:
    done = run('analysis/confusion.py', tmp_path / 'missing.json', tmp_path / 'a.json', '--out', tmp_path / 'out')
    assert done.returncode == 2
    assert 'missing.json: No such file' in done.stderr.splitlines()[-1]

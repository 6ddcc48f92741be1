"""tools/analysis/error_analysis.py as a user calls it, and what result files may look like."""

import csv
import json
from pathlib import Path

import cv2
import pycocotools.mask as coco_mask
import pytest

from mmagg.cli import analyse_errors
from mmagg.cli.main import run

FILES = ['error_analysis.csv', 'error_analysis.json', 'error_analysis.png']


def results_of(annotations: Path, score: float = 0.9) -> list[dict]:
    """The annotated objects as results, with masks and boxes."""
    content = json.loads(annotations.read_text())
    sizes = {image['id']: (image['height'], image['width']) for image in content['images']}
    results = []
    for annotation in content['annotations']:
        outline = annotation['segmentation']
        if isinstance(outline, list):
            rle = coco_mask.merge(coco_mask.frPyObjects(outline, *sizes[annotation['image_id']]))
        elif isinstance(outline['counts'], list):
            rle = coco_mask.frPyObjects(outline, *sizes[annotation['image_id']])
        else:
            rle = outline
        counts = rle['counts'] if isinstance(rle['counts'], str) else rle['counts'].decode()
        kept = {key: annotation[key] for key in ('image_id', 'category_id', 'bbox')}
        results.append({**kept, 'score': score, 'segmentation': {'size': list(rle['size']), 'counts': counts}})
    return results


def analyse(*arguments: object) -> int:
    return run(analyse_errors, [str(argument) for argument in arguments])


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize('iou_type', ['segm', 'bbox'])
def test_published_results(shared: Path, tmp_path: Path, capsys, iou_type: str) -> None:
    folder = shared / 'data/eval_fixtures/cocoapi'
    results = folder / f'instances_val2014_fake{iou_type}100_results.json'
    out = tmp_path / 'new/out'
    assert analyse(folder / 'instances_val2014_100.json', results, '--iou-type', iou_type, '--out', out) == 0
    assert sorted(path.name for path in out.iterdir()) == FILES
    report = json.loads((out / 'error_analysis.json').read_text())
    expected = json.loads((folder / 'expected.json').read_text())[iou_type]
    assert report['as_predicted'] == pytest.approx({key: expected[key] for key in ('AP', 'AP50', 'AP75')}, abs=1e-5)
    assert report['ap'] == pytest.approx(expected['AP50'], abs=1e-5)
    assert report['true_outlines']['AP'] > report['as_predicted']['AP']
    assert report['objects'] == 830
    assert all(error['gain'] >= 0 for error in report['errors'].values())
    rows = list(csv.DictReader((out / 'error_analysis.csv').open()))
    assert [row['name'] for row in rows[6:]] == list(report['errors'])
    assert [int(row['count']) for row in rows[6:]] == [error['count'] for error in report['errors'].values()]
    assert cv2.imread(str(out / 'error_analysis.png')).std() > 10
    assert f'{100 * expected["AP"]:.1f}' in capsys.readouterr().out


def test_perfect_results_and_none(annotations: Path, tmp_path: Path, capsys) -> None:
    results = results_of(annotations)
    assert analyse(annotations, write(tmp_path / 'results.json', results), '--out', tmp_path / 'out') == 0
    report = json.loads((tmp_path / 'out/error_analysis.json').read_text())
    assert report['as_predicted']['AP'] == report['true_outlines']['AP'] == pytest.approx(1)
    assert {error['count'] for error in report['errors'].values()} == {0}
    assert analyse(annotations, write(tmp_path / 'results.json', []), '--out', tmp_path / 'none') == 0
    report = json.loads((tmp_path / 'none/error_analysis.json').read_text())
    assert report['as_predicted']['AP'] == 0
    assert report['errors']['missed'] == {'count': len(results), 'gain': 1}


def test_annotations_without_objects(annotations: Path, tmp_path: Path, capsys) -> None:
    results = write(tmp_path / 'results.json', results_of(annotations))
    empty = write(tmp_path / 'empty.json', {**json.loads(annotations.read_text()), 'annotations': []})
    assert analyse(empty, results, '--out', tmp_path / 'out') == 0
    report = json.loads((tmp_path / 'out/error_analysis.json').read_text())
    assert report['as_predicted']['AP'] is None
    assert '–' in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == FILES


def last_line(capsys) -> str:
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('error: ')
    return error


@pytest.mark.parametrize(
    'change, message',
    [
        ('[', 'is not JSON'),
        ({'images': []}, 'is no COCO result file'),
        ([3], 'is not COCO format: detection 0 is 3, not a dict'),
        ({'image_id': 77}, 'have no image 77'),
        ({'category_id': 77}, 'have no category 77'),
        ({'image_id': []}, 'detection 0: its image_id is [], neither text nor a whole number'),
        ({'score': 'high'}, "the score of detection 0 is 'high'"),
        ({'score': float('nan')}, 'not a finite number'),
        ({'score': None}, 'not a finite number'),
        ({'segmentation': None}, 'has no "segmentation" (--iou-type bbox compares boxes)'),
        ({'segmentation': {'size': [64, 64]}}, 'run-length code is cut off'),
        (
            {'segmentation': {'size': [6, 8], 'counts': '`1'}},
            'the size of its run-length code is [6, 8], that of the image [64, 64]',
        ),
        ({'segmentation': {'size': [64, 64], 'counts': 'é'}}, 'run-length code is cut off'),
        ({'segmentation': {'size': [64, 64], 'counts': [9, 5]}}, 'run-length code is of 14 pixels, not 4096'),
        ({'segmentation': {'size': [64, 64], 'counts': [9, 5000]}}, 'run-length code is of 5009 pixels, not 4096'),
        ({'segmentation': {'size': [64, 64], 'counts': ''}}, 'run-length code is of 0 pixels, not 4096'),
        ({'segmentation': [[1, 2]]}, '"segmentation" cannot be used'),
        ({'segmentation': {'size': [64.0, 64.0], 'counts': [4096]}}, 'the size of its run-length code is [64.0, 64.0]'),
        ({'segmentation': {'size': [1, 2**40], 'counts': [2**40]}}, 'the size of its run-length code is [1, 1099511'),
        ({'segmentation': [[1, 2, 3, 4, None, 6]]}, 'detection 0: polygons that are not lists of numbers'),
        ({'segmentation': [[-9e5, 0, 9e5, 9] * 3]}, 'detection 0: polygons whose outline is longer'),
        ({'score': 10**400}, 'not a finite number'),
    ],
)
def test_bad_results_end_with_one_line(annotations: Path, tmp_path: Path, capsys, change, message: str) -> None:
    content = [results_of(annotations)[0] | change] if isinstance(change, dict) and 'images' not in change else change
    path = write(tmp_path / 'results.json', content)
    assert analyse(annotations, path, '--out', tmp_path / 'out') == 2
    error = last_line(capsys)
    assert message in error
    assert str(path) in error
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'change, message',
    [
        ({'images': []}, 'has no images'),
        ({'categories': None}, 'is not COCO format'),
        ({'images': [{'id': 1}]}, 'is not COCO format: image 0 has no "height"'),
        ({'images': [{'id': 1, 'height': 4, 'width': 4}] * 2}, 'an id occurs twice in its list of images'),
        ({'annotations': [{'image_id': 1, 'category_id': 1}]}, 'annotation 0 has no "segmentation"'),
    ],
)
def test_bad_annotations_end_with_one_line(annotations: Path, tmp_path: Path, capsys, change, message: str) -> None:
    path = write(tmp_path / 'ann.json', json.loads(annotations.read_text()) | change)
    assert analyse(path, write(tmp_path / 'results.json', [])) == 2
    error = last_line(capsys)
    assert message in error
    assert str(path) in error


def test_other_bad_input_ends_with_one_line(annotations: Path, tmp_path: Path, capsys) -> None:
    results = write(tmp_path / 'results.json', [])
    assert analyse(annotations, tmp_path / 'missing.json') == 2
    assert 'missing.json: No such file' in last_line(capsys)
    assert analyse(annotations, results, '--out', results) == 2
    assert 'is an input' in last_line(capsys)
    assert analyse(annotations, results, '--iou-thr', 0.05) == 2
    assert '--iou-thr 0.05' in last_line(capsys)


@pytest.mark.slow
def test_the_script_starts_from_anywhere(run, tmp_path: Path) -> None:
    done = run('analysis/error_analysis.py', tmp_path / 'missing.json', tmp_path / 'results.json')
    assert done.returncode == 2
    assert 'missing.json: No such file' in done.stderr.splitlines()[-1]

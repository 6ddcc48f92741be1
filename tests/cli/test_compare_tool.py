"""tools/analysis/compare.py as a user calls it."""

import csv
import json
from pathlib import Path

import cv2
import pytest

from mmagg.cli import compare_results
from mmagg.cli.main import run
from mmagg.evaluation.bootstrap import FEWEST_IMAGES
from mmagg.evaluation.result_pictures import OF_DETECTIONS, OF_OBJECTS_OF_TWO
from mmagg.visualization.titled_row import HEADER

FILES = ['changed_images.csv', 'compare.csv', 'compare.json', 'compare.png']


def compare(*arguments: object) -> int:
    return run(compare_results, [str(argument) for argument in arguments])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding='utf-8') as file:
        return list(csv.DictReader(file))


def box_results(annotations: Path) -> list[dict]:
    """The annotated boxes as results."""
    content = json.loads(annotations.read_text())
    keys = ('image_id', 'category_id', 'bbox')
    return [{key: annotation[key] for key in keys} | {'score': 0.9} for annotation in content['annotations']]


def test_published_results_and_a_part_of_them(shared: Path, tmp_path: Path, capsys) -> None:
    folder = shared / 'data/eval_fixtures/cocoapi'
    annotations, results = folder / 'instances_val2014_100.json', folder / 'instances_val2014_fakesegm100_results.json'
    content = json.loads(results.read_text())
    part = tmp_path / 'part.json'
    part.write_text(json.dumps(content[::2]))
    out = tmp_path / 'out'
    assert compare(annotations, results, part, '--samples', 100, '--top', 3, '--out', out) == 0
    assert sorted(path.name for path in out.iterdir()) == FILES
    report = json.loads((out / 'compare.json').read_text())
    expected = json.loads((folder / 'expected.json').read_text())['segm']
    sizes = {row['size']: row for row in report['sizes']}
    for size, key in (('all', 'AP'), ('small', 'APs'), ('medium', 'APm'), ('large', 'APl')):
        assert sizes[size]['ap_a'] == pytest.approx(expected[key], abs=1e-5)
    assert sizes['all']['low'] < sizes['all']['delta'] < sizes['all']['high'] < 0
    table = rows(out / 'compare.csv')
    assert len(table) == 81 * 4
    person = next(row for row in table if row['class'] == 'person' and row['size'] == 'all')
    assert float(person['low']) <= float(person['delta']) <= float(person['high'])
    single = [row for row in table if row['class'] and row['size'] == 'all' and 0 < int(row['images']) < 5]
    assert single
    assert {row['low'] for row in single} == {''}
    changed = rows(out / 'changed_images.csv')
    amounts = [float(row['change']) for row in changed]
    assert amounts == sorted(amounts, reverse=True)
    assert [row['file_name'] for row in changed[:3]] == [image['file_name'] for image in report['changed_images']]
    assert cv2.imread(str(out / 'compare.png')).std() > 10
    assert f'{100 * expected["AP"]:.1f}' in capsys.readouterr().out
    help_text = ' '.join(compare_results.parser().format_help().split())
    assert f'less than {FEWEST_IMAGES} images gets no interval' in help_text


def test_the_same_seed_gives_the_same_report(annotations: Path, tmp_path: Path) -> None:
    a, b = tmp_path / 'a.json', tmp_path / 'b.json'
    a.write_text(json.dumps(box_results(annotations)))
    b.write_text(json.dumps(box_results(annotations)[1:]))
    for out in ('one', 'two'):
        assert compare(annotations, a, b, '--iou-type', 'bbox', '--samples', 20, '--out', tmp_path / out) == 0
    assert (tmp_path / 'one/compare.csv').read_text() == (tmp_path / 'two/compare.csv').read_text()


@pytest.mark.parametrize('iou_type', ['segm', 'bbox'])
def test_changed_images_are_drawn(annotations: Path, shapes_folder: Path, tmp_path: Path, iou_type: str) -> None:
    content = json.loads(annotations.read_text())
    b = box_results(annotations)
    if iou_type == 'segm':
        for record, annotation in zip(b, content['annotations'], strict=True):
            record['segmentation'] = annotation['segmentation']
    name = {image['id']: image['file_name'] for image in content['images']}[b[0]['image_id']]
    (tmp_path / 'a.json').write_text('[]')
    (tmp_path / 'b.json').write_text(json.dumps([record for record in b if record['image_id'] == b[0]['image_id']]))
    more = ['--iou-type', iou_type, '--samples', 5, '--images', shapes_folder / 'images/val', '--out', tmp_path / 'out']
    assert compare(annotations, tmp_path / 'a.json', tmp_path / 'b.json', *more) == 0
    (picture,) = (tmp_path / 'out/images').iterdir()
    assert picture.stem == f'01_{Path(name).stem}'
    drawn = cv2.imread(str(picture))[HEADER:]
    plain = cv2.imread(str(shapes_folder / 'images/val' / name))
    plain = cv2.resize(plain, (320, 320), interpolation=cv2.INTER_CUBIC)  # 64 pixels five times as large
    (left,) = [x for x in range(drawn.shape[1] - 319) if (drawn[:, x : x + 320] == plain).all()]  # A found nothing
    by_b = (abs(drawn.astype(int) - OF_OBJECTS_OF_TWO['B only']).sum(axis=2) < 60).sum(axis=0)
    right = (abs(drawn.astype(int) - OF_DETECTIONS['right']).sum(axis=2) < 60).sum(axis=0)
    assert by_b[:320].any()
    assert right[left + 320 :].any()
    assert not right[:left].any()


def test_no_detections_and_no_annotations(annotations: Path, tmp_path: Path, capsys) -> None:
    results = tmp_path / 'results.json'
    results.write_text('[]')
    assert compare(annotations, results, results, '--samples', 5, '--out', tmp_path / 'out') == 0
    report = json.loads((tmp_path / 'out/compare.json').read_text())
    assert report['sizes'][0]['ap_a'] == report['sizes'][0]['delta'] == 0
    assert report['changed_images'] == []
    empty = tmp_path / 'empty.json'
    empty.write_text(json.dumps({**json.loads(annotations.read_text()), 'annotations': []}))
    assert compare(empty, results, results, '--samples', 5, '--out', tmp_path / 'none') == 0
    report = json.loads((tmp_path / 'none/compare.json').read_text())
    assert report['sizes'][0]['ap_a'] is None
    assert 'no image changed' in capsys.readouterr().out


def test_bad_input_ends_with_one_line(annotations: Path, tmp_path: Path, capsys) -> None:
    a, b, out = tmp_path / 'a.json', tmp_path / 'b.json', tmp_path / 'out'
    a.write_text('[]')
    b.write_text(json.dumps(box_results(annotations)))
    for arguments, message in (
        ([tmp_path / 'none.json', '--out', out], 'none.json: No such file'),
        ([b, '--out', out], 'has no "segmentation"'),
        ([b, '--iou-type', 'bbox', '--out', a], 'is an input'),
        ([b, '--iou-type', 'bbox', '--out', out, '--images', tmp_path / 'nowhere'], 'nowhere: no such folder'),
        ([b, '--iou-type', 'bbox', '--out', out, '--images', tmp_path], 'No such file'),
    ):
        assert compare(annotations, a, *arguments) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith('error: ')
        assert message in error
        assert not out.exists()


@pytest.mark.slow
def test_the_script_starts_from_anywhere(run, tmp_path: Path) -> None:
    done = run(
        'analysis/compare.py',
        tmp_path / 'missing.json',
        tmp_path / 'a.json',
        tmp_path / 'b.json',
        '--out',
        tmp_path / 'out',
    )
    assert done.returncode == 2
    assert 'missing.json: No such file' in done.stderr.splitlines()[-1]

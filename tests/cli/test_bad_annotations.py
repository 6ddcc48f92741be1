"""Annotation and result files that cannot be used: every tool that reads them says so in one line, with the place."""

import json
import shutil
from pathlib import Path

import pytest

from mmagg.cli.main import COMMANDS, run

SIZE = 64


def image(**changes: object) -> dict:
    return {'images': [{'id': 1, 'file_name': '000000.png', 'width': SIZE, 'height': SIZE, **changes}]}


def annotation(**changes: object) -> dict:
    square = [[4, 4, 30, 4, 30, 30, 4, 30]]
    sound = {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [4, 4, 26, 26], 'area': 676, 'iscrowd': 0}
    return {'annotations': [{**sound, 'segmentation': square, **changes}]}


def polygon(*values: object) -> dict:
    return annotation(segmentation=[[1, 2, 3, 4, *values]])


# What is wrong, and what is said of it.
BAD = {
    'height of 2^31': (image(height=2**31), '2^30 pixels'),
    'height of 2^64': (image(height=2**64), '2^30 pixels'),
    'null height': (image(height=None), 'height'),
    'id that is a list': (image(id=[1]), 'id'),
    'NaN in a polygon': (polygon(float('nan'), 6), 'polygons that are not lists of numbers'),
    'null in a polygon': (polygon(None, 6), 'polygons that are not lists of numbers'),
    '1e400 in a polygon': (polygon(10**400, 6), 'polygons that are not lists of numbers'),
    'huge polygon': (polygon(9e5, -9e5, -9e5, 9e5, 9e5, 0), 'polygons whose outline is longer'),
    'size of floats': (annotation(segmentation={'size': [64.0, 64.0], 'counts': [4096]}), 'size'),
    'size of another image': (annotation(segmentation={'size': [32, 128], 'counts': [4096]}), 'size'),
    'broken runs': (annotation(segmentation={'size': [64, 64], 'counts': [float('inf')]}), 'decoded|broken'),
    'text in a box': (annotation(bbox=[1, 2, '3', 4]), 'boxes that are not four numbers'),
    'area of 1e400': (annotation(area=10**400), '"area" is not a finite number'),
    'no category_id': ({'annotations': [{'image_id': 1}]}, 'annotation 0 has no "category_id"'),
    'no name of a class': ({'categories': [{'id': 1}]}, 'category 0 has no "name"'),
    'no id': ({'annotations': [{'image_id': 1, 'category_id': 1}]}, 'annotation 0 has no "id"'),
    'file name of a number': (image(file_name=7), 'image 0 has no usable "file_name"'),
    'file name with a zero byte': (image(file_name='a\0.png'), 'has a zero byte'),
    'file name that cannot be written': (image(file_name='\ud800.png'), 'cannot be written in utf-8'),
    'long text as a size': (image(width='x' * 99_999), "'xxxxxxxxxxxx...xxxxxxxxxxxxx' x 64"),
    'one id of two': ({'annotations': annotation()['annotations'] * 2}, 'annotations 0 and 1 have the same id, 1'),
    'empty box': (annotation(bbox=[]), 'boxes that are not four numbers'),
    'null box': (annotation(bbox=None), 'annotation 0 has no usable "bbox"'),
    'null area': (annotation(area=None), 'annotation 0 has no usable "area"'),
    'null annotations': ({'annotations': None}, 'it has no list "annotations"'),
    'class of a number': ({'categories': [{'id': 1, 'name': 7}]}, 'category 0 has no usable "name"|its name is 7'),
    'deep nesting': ('[' * 100_000, 'nested too deeply'),
}
TOOLS = {
    'train': '{config} --coco {data} --work-dir {out}/w --skip-check',
    'browse': '{config} --coco {data} --out {out}/b',
    'mask-voting': '{config} none.pth --coco {data} --out {out}/m',
    'boxes-to-masks': '{config} none.pth none.json --coco {data} --out {out}/boxes.json',
    'fit-mask-codec': '--coco {data} --out {out}/c.npz --dims 2 --curve 2',
    'analyse-errors': '{annotations} {results} --out {out}/e',
    'analyse-confusion': '{annotations} {results} --out {out}/f',
    'analyse-groups': '{annotations} {results} --out {out}/g',
    'analyse-calibration': '{annotations} {results} --out {out}/h',
    'analyse-precision-recall': '{annotations} {results} --out {out}/i',
    'compare-results': '{annotations} {results} {results} --out {out}/j',
}
QUICK = ('fit-mask-codec', 'analyse-errors')  # those that read no config and whose reader the others share
LOADED = ('browse', 'train')  # those that load what analyses do not read; train without the check
ONLY = {'height of 2^31': TOOLS, 'null annotations': ('fit-mask-codec', *LOADED)} | dict.fromkeys(
    (
        'no id',
        'file name of a number',
        'file name with a zero byte',
        'file name that cannot be written',
        'one id of two',
        'empty box',
        'null box',
        'null area',
        'class of a number',
    ),
    LOADED,
)
CASES = [(bad, tool) for bad in BAD for tool in ONLY.get(bad, QUICK)]
CASES += [(bad, tool) for bad in ('deep nesting', 'NaN in a polygon', 'size of floats') for tool in LOADED]


@pytest.mark.parametrize('bad, tool', CASES)
def test_one_line_names_the_file(
    bad: str, tool: str, tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    change, message = BAD[bad]
    data, results = tmp_path / 'data', tmp_path / 'results.json'
    shutil.copytree(shapes_folder, data)
    sound = {**image(), **annotation(), 'categories': [{'id': 1, 'name': 'fig'}]}
    for split in ('train', 'val'):
        content = change if isinstance(change, str) else json.dumps({**sound, **change})
        (data / f'annotations/instances_{split}.json').write_text(content)
    results.write_text('[]')
    annotations = data / 'annotations/instances_val.json'
    names = dict(config=tiny_config, data=data, out=tmp_path / 'out', annotations=annotations, results=results)
    arguments = [part.format(**names) for part in TOOLS[tool].split()]
    assert run(COMMANDS[tool], arguments) == 2
    error = capsys.readouterr().err
    assert 'Traceback' not in error
    assert any(part in error for part in message.split('|')), error
    assert f'{data}/annotations/instances_' in error
    assert error.splitlines()[-1].startswith('error: ')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('tool', ['mask-voting', 'boxes-to-masks', 'train', 'test', 'browse'])
def test_an_empty_image_is_named(tool: str, tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    data = tmp_path / 'data'
    shutil.copytree(shapes_folder, data)
    for image in data.glob('images/*/000001.png'):
        image.write_bytes(b'')
    tools = {
        **TOOLS,
        'test': '{config} none.pth --coco {data} --work-dir {out}/t',
        'browse': TOOLS['browse'] + ' --number 9',
    }
    arguments = [part.format(config=tiny_config, data=data, out=tmp_path / 'out') for part in tools[tool].split()]
    arguments = [part for part in arguments if part != '--skip-check']
    assert run(COMMANDS[tool], arguments) == (1 if tool == 'browse' else 2)  # it goes on with the others
    error = capsys.readouterr().err
    assert '000001.png' in error
    assert 'Traceback' not in error


@pytest.mark.parametrize(
    'change, message',
    [
        ({'bbox': [1, 2, 3, 10**400]}, 'a number is not finite|entry 0'),
        ({'score': 10**400}, 'entry 0'),
        ({'image_id': []}, 'entry 0'),
    ],
)
def test_boxes_of_results(change: dict, message: str, shapes_folder: Path, tmp_path: Path) -> None:
    from mmagg.evaluation.coco_scores import read_annotations
    from mmagg.experiments.boxes_to_masks import read_boxes
    from mmagg.io.errors import InputError

    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps([{'image_id': 1, 'category_id': 1, 'bbox': [1, 2, 3, 4], 'score': 0.5, **change}]))
    with pytest.raises(InputError, match=message):
        read_boxes(path, read_annotations(shapes_folder / 'annotations/instances_val.json'), [1])

"""The examples in the docstrings of the analyses run, and write the files that they promise."""

import doctest
import json
from importlib import import_module
from pathlib import Path

import pytest
from made_up_results import coco_format, made_up

from mmagg.datasets.coco_reader import read_detections, read_truth


@pytest.mark.parametrize(
    'name, files',
    [
        ('calibration', 'calibration.csv calibration.json calibration.png'),
        ('comparison', 'changed_images.csv compare.csv compare.json compare.png'),
        ('confusion', 'confusion.csv confusion.png'),
        ('errors', 'error_analysis.csv error_analysis.json error_analysis.png'),
        ('groups', 'ap_by_group.csv ap_by_group.json ap_by_group.png'),
        ('precision_recall', 'precision_recall.csv precision_recall.json precision_recall.png'),
    ],
)
def test_examples(tmp_path: Path, name: str, files: str) -> None:
    truth, results = coco_format(*made_up(7))
    paths = {key: tmp_path / f'{key}.json' for key in ('annotations', 'results', 'others')}
    for path, content in zip(paths.values(), (truth, results['annotations'], results['annotations'][::2]), strict=True):
        path.write_text(json.dumps(content))
    module = import_module(f'mmagg.evaluation.{name}')
    known = {**vars(module), **paths, 'folder': tmp_path / 'out', 'read_detections': read_detections}
    # The made-up objects are boxes.
    known['read_truth'] = lambda path: read_truth(path, 'bbox')
    example = doctest.DocTestParser().get_doctest(module.__doc__, known, name, module.__file__, 0)
    assert doctest.DocTestRunner().run(example, clear_globs=False) == (0, 3)
    assert [path.name for path in sorted((tmp_path / 'out').iterdir())] == files.split()
    heading = json.loads(next((tmp_path / 'out').glob('*.json')).read_text()) if 'json' in files else {}
    assert heading.get('annotations', str(paths['annotations'])) == str(paths['annotations'])
    assert str(example.globs['result'])

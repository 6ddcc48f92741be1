"""The analyses of an image with more objects of a class than COCO counts detections."""

import json
from pathlib import Path

import pytest

from mmagg.cli.main import COMMANDS, run

COMPARE = 'compare-results'
OBJECTS = 150


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Annotations, and results that find all of it."""
    boxes = [[10 * (i % 15), 10 * (i // 15), 8, 8] for i in range(OBJECTS)]
    common = dict(image_id=1, category_id=1)
    content = {
        'images': [{'id': i, 'width': 150, 'height': 100, 'file_name': f'{i}.png'} for i in (1, 2)],
        'categories': [{'id': 1, 'name': 'pebble'}],
        'annotations': [{**common, 'id': i, 'bbox': box, 'area': 64, 'iscrowd': 0} for i, box in enumerate(boxes)],
    }
    records = [{**common, 'bbox': box, 'score': 1 - i / 1000} for i, box in enumerate(boxes)]
    paths = tmp_path / 'truth.json', tmp_path / 'found.json'
    for path, what in zip(paths, (content, records), strict=True):
        path.write_text(json.dumps(what))
    return [str(path) for path in paths]


@pytest.mark.parametrize('name', [name for name in COMMANDS if name.startswith('analyse-') or name == COMPARE])
def test_objects_that_cannot_count_are_named_and_an_option_counts_them(
    files: list[str], tmp_path: Path, capsys, name: str
) -> None:
    arguments = [*files, *files[1:] * (name == COMPARE), '--iou-type', 'bbox', '--out', str(tmp_path / 'out')]
    arguments += ['--samples', '2'] * (name == COMPARE)
    assert run(COMMANDS[name], arguments) == 0
    some = capsys.readouterr()
    assert some.err.splitlines() == [
        'warning: images with more objects of a class than the 100 detections that count: 1 of 2, up to 150 objects; '
        '--max-dets 150 counts all'
    ]
    assert run(COMMANDS[name], [*arguments, '--max-dets', '150']) == 0
    everything = capsys.readouterr()
    assert not everything.err
    assert some.out != everything.out

"""Boxes of several detectors side by side, on the figures of MEInst's Table 1."""

import json
from pathlib import Path

import pytest

from mmagg.evaluation.coco_scores import AP_NAMES
from mmagg.experiments.boxes_compared import plot, read_summary, table

# MEInst, Table 1: mask AP, then those of boxes; the numbers of boxes are made up.
PAPER = {
    'mask_rcnn.json': (34.2, 37.8, 59.3, 41.1, 21.5, 41.1, 49.9),
    'fcos.json': (34.1, 38.7, 57.3, 41.9, 22.6, 42.4, 50.1),
}


def summaries() -> list[dict]:
    return [
        {
            'boxes_from': f'results/{name}',
            'images': 5000,
            'boxes': 60_000 * (i + 1),
            'bbox': dict(zip(AP_NAMES, (x / 100 for x in boxes), strict=True)),
            'segm': dict.fromkeys(AP_NAMES) | {'AP': mask / 100},
        }
        for i, (name, (mask, *boxes)) in enumerate(PAPER.items())
    ]


def test_the_rows_of_the_paper() -> None:
    head, *rows = table(summaries()).splitlines()
    assert len({len(line) for line in (head, *rows)}) == 1
    assert head.split('  ')[0] == 'boxes from'
    for row, (name, numbers), per_image in zip(rows, PAPER.items(), ('12.0', '24.0'), strict=True):
        assert row.split() == [f'results/{name}', per_image, *map(str, numbers)]


def test_what_is_not_known_is_a_dash_and_no_point(tmp_path: Path) -> None:
    some = summaries()
    some[0]['boxes_from'] = 'price $1 or $2.json'
    some[0]['bbox'] = dict.fromkeys(AP_NAMES)
    assert '–' in table(some).splitlines()[1]
    plot(some, tmp_path / 'chart.svg')
    text = (tmp_path / 'chart.svg').read_text()
    assert 'price $1 or $2' in text
    assert 'boxes per image' in text


def test_any_name_of_a_file_is_in_the_legend(tmp_path: Path) -> None:
    some = summaries()
    some[0]['boxes_from'], some[1]['boxes_from'] = '_ours.json', 'caf\udce9.json'  # of Latin-1
    plot(some, tmp_path / 'chart.svg')
    text = (tmp_path / 'chart.svg').read_text()
    for name in ('_ours', r'caf\udce9'):
        assert text.count(name) >= 2, 'as a point and as a bar'


@pytest.mark.parametrize(
    'change',
    [{'images': 0}, {'boxes': 'many'}, {'boxes_from': None}, {'bbox': {}}, {'segm': dict.fromkeys(AP_NAMES, 2)}],
)
def test_another_file_is_refused(change: dict, tmp_path: Path) -> None:
    path = tmp_path / 'x.metrics.json'
    path.write_text(json.dumps(summaries()[0]))
    assert read_summary(path) == summaries()[0]
    for content in (json.dumps(summaries()[0] | change), '[1]', '{'):
        path.write_text(content)
        with pytest.raises(ValueError, match=r'--beside .*x\.metrics\.json: is no NAME\.metrics\.json'):
            read_summary(path)
    with pytest.raises(ValueError, match='no such file'):
        read_summary(tmp_path / 'none.json')

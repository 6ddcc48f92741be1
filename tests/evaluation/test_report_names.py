"""Names in a report are text: a page that others made data for runs nothing of them."""

import json
from pathlib import Path

from mmagg.datasets.coco_reader import read_truth
from mmagg.evaluation.report import Evaluation, write_report

TAG = '<script>alert(1)</script>'
FILE = '<img src=x onerror=alert(2)>.png'


def test_no_name_is_markup(shapes_folder: Path, tmp_path: Path) -> None:
    content = json.loads((shapes_folder / 'annotations/instances_val.json').read_text())
    for category in content['categories']:
        category['name'] += TAG
    images = tmp_path / 'images'
    images.mkdir()
    for image in content['images']:
        source = shapes_folder / 'images/val' / image['file_name']
        image['file_name'] = f'{image["id"]}{FILE}'
        (images / image['file_name']).write_bytes(source.read_bytes())
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    records = [
        {key: one[key] for key in ('image_id', 'category_id', 'bbox', 'segmentation')} | {'score': 0.9}
        for one in content['annotations']
    ]
    (tmp_path / 'results.json').write_text(json.dumps(records))
    write_report(
        Evaluation(
            config=f'config{TAG}',
            checkpoint=f'a{TAG}.pth',
            truth=read_truth(tmp_path / 'truth.json', 'segm'),
            image_ids=[image['id'] for image in content['images']],
            results=tmp_path / 'results.json',
            image_folder=images,
            metrics={'coco/segm_mAP': 1.0, TAG: 0.5},
            seconds={'inference': 0.1, TAG: 0.1},
            machine={'cpu': TAG, 'gpu': TAG, 'threads': 1, 'torch': TAG},
        ),
        tmp_path / 'report.html',
        score_thr=0.3,
    )
    page = (tmp_path / 'report.html').read_text()
    assert 'alert(1)' in page  # as text
    assert 'alert(2)' in page
    assert TAG not in page
    assert FILE not in page

"""Data of boxes alone, as a user trains and tests them: by the configs that need no masks, and by no other."""

import json
import math
from pathlib import Path

import pytest

from mmagg.cli.main import COMMANDS, run


@pytest.fixture
def folder(shapes_folder: Path, tmp_path: Path) -> Path:
    """A COCO folder without masks."""
    bare = tmp_path / 'bare'
    (bare / 'annotations').mkdir(parents=True)
    (bare / 'images').symlink_to(shapes_folder / 'images')
    for file in (shapes_folder / 'annotations').iterdir():
        content = json.loads(file.read_text())
        for annotation in content['annotations']:
            del annotation['segmentation']
        (bare / 'annotations' / file.name).write_text(json.dumps(content))
    return bare


@pytest.mark.parametrize('method', ['solo', 'blendmask'])
def test_trains_and_tests(method: str, root: Path, folder: Path, tmp_path: Path) -> None:
    config, work_dir = root / f'configs/demo/{method}-boxes_tiny_shapes.py', tmp_path / 'run'
    common = ['--coco', str(folder), '--cfg-options', 'model.test_cfg.score_thr=0.0']
    training = ['--epochs', '1', '--batch-size', '2', '--workers', '0', '--work-dir', str(work_dir)]
    options = ['model.test_cfg.filter_thr=0.0'] if method == 'solo' else []
    assert run(COMMANDS['train'], [str(config), *training, *common, 'default_hooks.logger.interval=1', *options]) == 0
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    *steps, scores = map(json.loads, log.read_text().splitlines())
    assert [step['step'] for step in steps] == [1, 2]
    assert all(math.isfinite(step['loss']) and step['loss_mask'] > 0.1 for step in steps)
    assert 'coco/bbox_mAP' in scores
    assert not any('segm' in name for name in scores)

    if method == 'solo':
        results = tmp_path / 'results.json'
        outputs = ['--work-dir', str(tmp_path / 'test'), '--out', str(results)]
        assert run(COMMANDS['test'], [str(config), str(work_dir / 'epoch_1.pth'), *outputs, *common, *options]) == 0
        records = json.loads(results.read_text())
        assert records
        assert all(record['segmentation']['size'] == [64, 64] for record in records)


def test_other_configs_refuse_them_and_name_these(root: Path, folder: Path, tmp_path: Path, capsys) -> None:
    config = root / 'configs/demo/solo_tiny_shapes.py'
    assert run(COMMANDS['train'], [str(config), '--coco', str(folder), '--work-dir', str(tmp_path / 'run')]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert sum('or learn from boxes with configs/boxinst' in line for line in lines) == 2  # of both files
    assert lines[-1].startswith('error: 2 fatal problem(s) in the data')
    assert not (tmp_path / 'run').exists()

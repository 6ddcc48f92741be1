"""tools/test.py --tta as a user calls it."""

import json
from pathlib import Path

import pytest

from mmagg.cli.main import COMMANDS, run


def test_augmented_views_give_metrics_results_and_pictures(
    tiny_config: Path, trained: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    arguments = [tiny_config, trained / 'iter_2.pth', '--coco', shapes_folder, '--work-dir', tmp_path / 'run']
    arguments += ['--tta', '--out', tmp_path / 'out.json', '--show-dir', tmp_path / 'show', '--cfg-options']
    arguments += ['tta_model.score=max', 'test_dataloader.batch_size=2']
    assert run(COMMANDS['test'], [str(argument) for argument in arguments]) == 0
    assert 'coco/segm_mAP' in json.loads((tmp_path / 'run/metrics.json').read_text())
    records = json.loads((tmp_path / 'out.json').read_text())
    assert {record['image_id'] for record in records} == {1, 2}
    assert {tuple(record['segmentation']['size']) for record in records} == {(64, 64)}
    assert [path.name for path in sorted((tmp_path / 'show').iterdir())] == ['000000.png', '000001.png']
    assert not (tmp_path / 'run/tiny.py').exists(), 'it would replace the config that training has left there'


@pytest.mark.slow
def test_augmented_views_on_two_processes(
    run, root: Path, tiny_config: Path, trained: Path, shapes_folder: Path, tmp_path: Path
) -> None:
    metrics = []
    for processes in (1, 2):
        work_dir = tmp_path / str(processes)
        arguments = ('--coco', shapes_folder, '--work-dir', work_dir, '--tta')
        done = run('dist_test.sh', tiny_config, trained / 'iter_2.pth', processes, *arguments)
        assert done.returncode == 0, done.stderr
        metrics.append(json.loads((work_dir / 'metrics.json').read_text()))
    assert metrics[0] == metrics[1]

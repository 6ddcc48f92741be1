"""tools/train.py and dist_train.sh as a user calls them."""

import shutil
import socket
from pathlib import Path

import pytest

from mmagg.apis.checkpoint import read_checkpoint, secure_loading
from mmagg.apis.errors import run_tool


def read(checkpoint: Path) -> dict:
    """A training checkpoint, read as the tools do: as data only."""
    secure_loading()
    return read_checkpoint(checkpoint)


def logged_losses(checkpoint: dict) -> int:
    """How many iterations' losses the log in a training checkpoint holds."""
    return len(checkpoint['message_hub']['log_scalars']['train/loss'].data[0])


def test_trains_on_a_coco_folder(trained: Path) -> None:
    checkpoint = read(trained / 'iter_2.pth')
    assert logged_losses(checkpoint) == checkpoint['meta']['iter'] == 2
    assert checkpoint['meta']['dataset_meta']['classes'] == ('circle', 'square', 'triangle', 'star', 'ring')
    assert checkpoint['state_dict']['mask_head.conv_cls.weight'].shape[0] == 5


def test_a_stopped_run_resumes_where_it_was(trained: Path, tiny_config: Path, shapes_folder: Path, tmp_path: Path):
    work_dir = tmp_path / 'moved'  # and the work dir may have been moved since
    shutil.copytree(trained, work_dir)
    (work_dir / 'iter_3.pth').write_bytes(b'half a checkpoint')  # killed while writing the next one
    arguments = [tiny_config, '--coco', shapes_folder, '--work-dir', work_dir, '--resume']
    assert run_tool('train', [*map(str, arguments), '--cfg-options', 'train_cfg.max_iters=4']) == 0
    checkpoint = read(work_dir / 'iter_4.pth')
    assert logged_losses(checkpoint) == checkpoint['meta']['iter'] == 4
    assert not (work_dir / 'iter_5.pth').exists()


def test_resume_refuses_another_model(trained: Path, tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys):
    arguments = [
        tiny_config,
        '--coco',
        shapes_folder,
        '--work-dir',
        tmp_path,
        '--resume',
        trained / 'iter_2.pth',
    ]
    code = run_tool('train', [*map(str, arguments), '--cfg-options', 'model.mask_head.stacked_convs=2'])
    assert code == 2
    assert 'missing (mask_head.mask_convs.1' in capsys.readouterr().err


def test_amp_on_the_cpu_is_bfloat16(tiny_config: Path, shapes_folder: Path, tmp_path: Path) -> None:
    from mmengine.config import Config

    arguments = [tiny_config, '--coco', shapes_folder, '--work-dir', tmp_path, '--amp']
    assert run_tool('train', [*map(str, arguments), '--cfg-options', 'train_cfg.max_iters=1']) == 0
    assert Config.fromfile(tmp_path / 'tiny.py').optim_wrapper.type == 'CPUAmpOptimWrapper'
    assert 'loss_scaler' not in read(tmp_path / 'iter_1.pth')['optimizer']


@pytest.mark.parametrize(
    'arguments, message',
    [
        ('nowhere.py', 'config nowhere.py: no such file'),
        ('{config} --coco nowhere', '--coco nowhere: no such folder'),
        ('{config} --resume nowhere.pth', 'checkpoint nowhere.pth: no such file'),
        ('{config} --launcher pytorch', 'RANK is not set'),
        ('{config} --cfg-options model.mask_hed.num_classes=3', 'did you mean mask_head?'),
        ('{config} --cfg-options train_cfg.max_iter=3', 'did you mean max_iters or'),
        ('{config} --cfg-options train_dataloader=None', 'no `train_dataloader`'),
        ('{config} --coco {data} --cfg-options model.mask_head.type=Nothing', 'Nothing is not in the'),
    ],
)
def test_bad_input_is_one_line(
    arguments: str,
    message: str,
    tiny_config: Path,
    shapes_folder: Path,
    tmp_path: Path,
    capsys,
    monkeypatch,
):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.delenv(name, raising=False)
    words = arguments.format(config=tiny_config, data=shapes_folder).split()
    position = words.index('--cfg-options') if '--cfg-options' in words else len(words)
    code = run_tool('train', [*words[:position], '--work-dir', str(tmp_path / 'run'), *words[position:]])
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert code == 2
    assert len(error) == 1
    assert message in error[0]
    assert not list(tmp_path.rglob('*.pth'))


def test_unknown_key_in_a_config_file_is_named(tiny_config: Path, tmp_path: Path, capsys) -> None:
    config = tmp_path / 'typo.py'
    config.write_text(f'_base_ = {str(tiny_config)!r}\nmodel = dict(mask_head=dict(stacked_conv=1))\n')
    assert run_tool('train', [str(config), '--work-dir', str(tmp_path / 'run')]) == 2
    assert "unexpected keyword argument 'stacked_conv'" in capsys.readouterr().err


def test_a_fatal_finding_stops_before_anything_is_written(
    tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys
):
    broken = tmp_path / 'broken'
    shutil.copytree(shapes_folder, broken)
    (broken / 'images/train/000001.png').unlink()
    annotations = broken / 'annotations/instances_train.json'
    annotations.write_text(annotations.read_text().replace('"file_name": "000002.png"', '"name": "000002.png"'))
    work_dir = tmp_path / 'run'
    assert run_tool('train', [str(tiny_config), '--coco', str(broken), '--work-dir', str(work_dir)]) == 2
    error = capsys.readouterr().err
    assert 'fatal' in error
    assert '--skip-check' in error
    assert not work_dir.exists()


def test_two_cpu_processes_train_together(run, tiny_config: Path, shapes_folder: Path, tmp_path: Path, monkeypatch):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        monkeypatch.setenv('PORT', str(free.getsockname()[1]))
    options = (
        '--work-dir',
        tmp_path,
        '--cfg-options',
        'val_cfg=None',
        'val_dataloader=None',
        'val_evaluator=None',
    )
    done = run('dist_train.sh', tiny_config, 2, '--coco', shapes_folder, *options)
    assert done.returncode == 0, done.stderr
    assert logged_losses(read(tmp_path / 'iter_2.pth')) == 2
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert log.count('Iter(train) [2/2]') == 1  # by one of the two
    assert 'Distributed training is not used' not in log

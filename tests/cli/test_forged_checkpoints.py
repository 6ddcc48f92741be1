"""Checkpoints of others are data: no text of them is executed, and none ends a command in anything but a line."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from torch import nn

from mmagg.apis import checkpoint as loading
from mmagg.apis.checkpoint_parts import check_resumable
from mmagg.apis.config import load_config
from mmagg.cli.main import COMMANDS, run
from mmagg.convert.adelaidet import read_release
from mmagg.io.errors import InputError


@pytest.fixture(scope='session')
def training_checkpoint(trained: Path) -> Path:
    """A checkpoint from the middle of a training; not to be changed."""
    return trained / 'iter_1.pth'


@pytest.fixture
def content(training_checkpoint: Path) -> dict:
    return loading.load_checkpoint(training_checkpoint)


@pytest.fixture
def call(trained: Path, tiny_config: Path, shapes_folder: Path, tmp_path: Path, root: Path, capsys):
    """Runs a command on a checkpoint; gives the exit code and stderr's error lines."""
    image = shapes_folder / 'images/val/000000.png'
    converted = root / 'configs/demo/solo_tiny_shapes.py'

    def pretrained(path: Path) -> Path:
        config = tmp_path / 'pretrained.py'
        weights = f"dict(type='Pretrained', checkpoint={str(path)!r}, prefix='backbone.')"
        config.write_text(tiny_config.read_text().replace('init_cfg=None', f'init_cfg={weights}'))
        return config

    arguments = {
        'resume': lambda path: ['train', tiny_config, '--coco', shapes_folder, '--resume', path],
        'load_from': lambda path: [
            *('train', tiny_config, '--coco', shapes_folder, '--cfg-options', f'load_from={path}')
        ],
        'init_cfg': lambda path: ['train', pretrained(path), '--coco', shapes_folder],
        'test': lambda path: ['test', tiny_config, path, '--coco', shapes_folder],
        'demo': lambda path: [
            'demo',
            image,
            trained / 'tiny.py',
            path,
            '--out-dir',
            tmp_path / 'out',
            '--device',
            'cpu',
        ],
        **{
            name: lambda path, name=name: [name, path, tmp_path / 'converted.pth', '--config', converted]
            for name in ('convert-mmdet', 'convert-aggmask')
        },
        'convert-adelaidet': lambda path: [
            *('convert-adelaidet', path, tmp_path / 'converted.pth', '--config'),
            root / 'configs/demo/blendmask_tiny_shapes.py',
        ],
    }

    def call(how: str, path: Path) -> tuple[int, list[str]]:
        name, *words = arguments[how](path)
        if name in ('train', 'test'):
            words += ['--work-dir', tmp_path / 'run']
        capsys.readouterr()
        code = run(COMMANDS[name], [str(word) for word in words])
        return code, [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]

    return call


# A start of each command costs seconds; what they share, mmengine's loaders and our reader, is tried with every file.
WAYS = ('resume', 'load_from', 'test', 'demo', 'convert-mmdet', 'convert-adelaidet')
TEXT = 'open({!r}, "w").write("executed")\nmodel = dict()\n'


@pytest.fixture(scope='session')
def model(tiny_config: Path) -> nn.Module:
    return MODELS.build(load_config(tiny_config).model)


@pytest.fixture
def with_texts(content: dict, tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint with Python text wherever mmengine looks for a config, and the file that it would write."""
    marker, path = tmp_path / 'marker', tmp_path / 'texts.pth'
    text = TEXT.format(str(marker))
    content['meta'].update(config=text, cfg=text)
    content['message_hub']['runtime_info']['cfg'] = text
    torch.save(content, path)
    return path, marker


def test_the_text_would_be_executed_by_mmengine(tmp_path: Path) -> None:
    """So that the tests below can fail."""
    Config.fromstring(TEXT.format(str(tmp_path / 'marker')), '.py')
    assert (tmp_path / 'marker').exists()


@pytest.mark.parametrize('how', ['resume', 'test', 'demo'])
def test_no_config_in_a_checkpoint_is_executed(how: str, with_texts: tuple[Path, Path], call) -> None:
    path, marker = with_texts
    code, lines = call(how, path)
    assert (code, lines) == (0, [])
    assert not marker.exists()


def test_no_loader_of_mmengine_sees_the_text(with_texts: tuple[Path, Path], tmp_path: Path, monkeypatch) -> None:
    path, _ = with_texts
    home = tmp_path / 'home/hub/checkpoints'
    home.mkdir(parents=True)
    (home / 'x-01234567.pth').write_bytes(path.read_bytes())
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr('mmagg.apis.pretrained._torchvision_urls', lambda name: {name: 'https://a.b/x-01234567.pth'})
    monkeypatch.setattr('mmagg.apis.pretrained.get_external_models', lambda: {'x': 'https://a.b/x-01234567.pth'})
    monkeypatch.setattr('mmagg.apis.pretrained.get_mmcls_models', lambda: {'x': 'https://a.b/x-01234567.pth'})

    class Store:
        def get(self, _: str) -> bytes:
            return path.read_bytes()

    monkeypatch.setattr(loading, 'get_file_backend', lambda *_, **__: Store())
    loading.secure_loading()
    read = set()
    for source in (
        *(
            str(path),
            'https://a.b/x-01234567.pth',
            'http://a.b/x-01234567.pth',
            'torchvision://x',
            'modelzoo://x',
            'mmcls://x',
        ),
        *('open-mmlab://x', 'openmmlab://x', 's3://x', 'cluster:s3://x', 'petrel://x'),
    ):
        content = CheckpointLoader.load_checkpoint(source, 'cpu', logger='silent')
        assert not {'config', 'cfg'} & {*content.get('meta', ())}, source
        assert 'cfg' not in content.get('message_hub', {}).get('runtime_info', ())
        read.add(CheckpointLoader._get_checkpoint_loader(source))
    with pytest.raises(ValueError, match='cannot be read as data only'):
        CheckpointLoader.load_checkpoint('pavi://x', 'cpu', logger='silent')
    assert {*CheckpointLoader._schemes.values()} <= {*read, loading.load_from_pavi}  # there is no other one


def test_a_storage_without_its_client_ends_in_a_line(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'petrel_client', None)
    with pytest.raises(InputError, match=r's3://x: .*petrel_client'):
        loading.load_checkpoint('s3://x')


def test_what_is_called_first_reads_data_only(tmp_path: Path, tiny_config: Path) -> None:
    """Also where nobody has decided how checkpoints are read."""
    from mmagg.apis import load_model

    class Code:
        def __reduce__(self):
            return open, (str(tmp_path / 'marker'), 'w')

    torch.save({'state_dict': {'a': torch.ones(1)}, 'code': Code()}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='more than data'):
        load_model(tiny_config, tmp_path / 'a.pth', 'cpu')
    assert not (tmp_path / 'marker').exists()


def changed(content: dict, place: str, value: object) -> dict:
    *parts, last = place.split('/')
    part = content
    for name in parts:
        part = part[int(name) if isinstance(part, list) else name]
    if value is KeyError:
        del part[last]
    else:
        part[last] = value
    return content


WEIGHT = 'state_dict/backbone.conv1.weight'


def weight(make):
    return lambda content: changed(content, WEIGHT, make(content['state_dict']['backbone.conv1.weight']))


FORGED = {
    'sparse': (weight(lambda w: w.flatten(1).to_sparse()), 'state_dict.backbone.conv1.weight is of layout sparse_coo'),
    'meta': (weight(lambda w: w.to('meta')), 'conv1.weight has a shape and no numbers'),
    'quantised': (
        weight(lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8)),
        'conv1.weight is quantised',
    ),
    'complex': (weight(lambda w: w.to(torch.complex64)), 'conv1.weight is complex64 there and float32 here'),
    'integer': (weight(lambda w: w.to(torch.int32)), 'conv1.weight is int32 there'),
    'bool': (weight(lambda w: w > 0), 'conv1.weight is bool there'),
    'huge': (weight(lambda w: torch.zeros(1).expand(10**12)), 'of which there are no numbers in the file'),
    'list': (weight(lambda w: w.tolist()), 'no state_dict of tensors in it: backbone.conv1.weight is a list'),
    'a tensor as state_dict': (lambda c: {**c, 'state_dict': torch.ones(3)}, 'no state_dict of tensors'),
    'a list as state_dict': (lambda c: {**c, 'state_dict': [torch.ones(3)]}, 'no state_dict of tensors'),
    'a list': (lambda c: [c], 'holds a list, where a dict of weights is wanted'),
    'keys that are numbers': (
        lambda c: {**c, 'state_dict': dict(enumerate(c['state_dict'].values()))},
        'state_dict has a key of type int, which is no name',
    ),
    'meta is a list': (lambda c: {**c, 'meta': [1]}, 'meta is a list, where a dict is wanted'),
    'classes': (lambda c: changed(c, 'meta/dataset_meta/classes', 3), 'dataset_meta.classes is a int, where a list'),
    'class names': (lambda c: changed(c, 'meta/dataset_meta/classes', ['a', [2]]), 'classes.1 is a list, where a str'),
    'dataset_meta': (lambda c: changed(c, 'meta/dataset_meta', 'x'), 'meta.dataset_meta is a str, where a dict'),
}


@pytest.mark.parametrize('name', FORGED)
def test_forged_weights_are_refused_with_their_place(name: str, content: dict, model: nn.Module, tmp_path: Path):
    change, message = FORGED[name]
    path = tmp_path / 'forged.pth'
    torch.save(change(content), path)
    with pytest.raises(InputError) as caught:
        loading.load_weights(model, loading.load_checkpoint(path), path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name, how', [*(('sparse', how) for how in WAYS), ('a tensor as state_dict', 'init_cfg')])
def test_forged_weights_end_a_command_in_a_line(name: str, how: str, content: dict, call, tmp_path: Path):
    path = tmp_path / 'forged.pth'
    torch.save(FORGED[name][0](content), path)
    code, lines = call(how, path)
    assert (code, len(lines)) == (2, 1), lines
    assert str(path) in lines[0]


RESUMED = {
    'meta/epoch': (-1, 'None', KeyError),
    'meta/iter': (1.5, '1', KeyError, 10**30),
    'message_hub': (3, []),
    'message_hub/log_scalars': ([], KeyError),
    'message_hub/resumed_keys': ({'iter': 'x'},),
    'message_hub/runtime_info': (None, {3: 5}),
    'message_hub/runtime_info/keep_ckpt_ids': ('x', ['/../../x'], [-1]),
    'message_hub/runtime_info/last_ckpt': (3,),
    'optimizer': (None, [], {'state': {}, 'param_groups': 1}),
    'optimizer/state': (KeyError, []),
    'optimizer/param_groups': (KeyError, [3], [{}]),
    'optimizer/param_groups/0/lr': (KeyError, None, 'x', [0.1]),
    'optimizer/base_param_settings': (3, {'momentum': 0.9}, {'lr': 'x'}),
    'optimizer/state/0': (5, {'momentum_buffer': 'x'}),
    'param_schedulers': (3, [4], {'x': 1}, [{'step': 4}], [{3: 4}], {'x': [{'_get_value': 4}]}),
    'param_schedulers/0/last_step': ('x', None),
    'param_schedulers/0/base_values': (3, ['x']),
    'ema_state_dict': (3, {}, {3: torch.ones(1)}, {'module.backbone.conv1.weight': torch.ones(2)}, {'steps': 'x'}),
}


@pytest.mark.parametrize('place', RESUMED)
def test_what_a_training_cannot_go_on_from_is_refused(place: str, training_checkpoint: Path) -> None:
    for value in RESUMED[place]:
        content = loading.load_checkpoint(training_checkpoint)
        content['param_schedulers'] = content['param_schedulers'] or [{}]
        check_resumable(content)
        content = changed_at(content, place, value)
        with pytest.raises(InputError, match=place.replace('/', '.')):
            check_resumable(content)


@pytest.mark.parametrize('score', [np.float32(0.3), np.float64(0.3), np.int64(1)])
def test_a_best_score_may_be_a_number_of_numpy(score: np.generic, content: dict, tmp_path: Path) -> None:
    content['message_hub']['runtime_info']['best_score'] = score
    torch.save(content, tmp_path / 'a.pth')
    check_resumable(loading.load_checkpoint(tmp_path / 'a.pth'))


@pytest.mark.parametrize(
    'place, value',
    [
        ('optimizer/state/0', {'momentum_buffer': torch.ones(3, 3, 3, 3, 3)}),
        ('optimizer/state/0', {'momentum_buffer': 3}),  # which the optimiser sees at its first step
        ('message_hub', 3),
    ],
)
def test_a_resumed_training_is_refused_in_a_line(place: str, value: object, content: dict, call, tmp_path: Path):
    path = tmp_path / 'forged.pth'
    torch.save(changed_at(content, place, value), path)
    code, lines = call('resume', path)
    assert (code, len(lines)) == (2, 1), lines
    assert str(path) in lines[0]
    assert not list((tmp_path / 'run').glob('*.pth'))


def changed_at(content: dict, place: str, value: object) -> dict:
    if place == 'optimizer/state/0':
        content['optimizer']['state'][0] = value
        return content
    return changed(content, place, value)


def files(folder: Path, whole: Path) -> dict[str, Path]:
    """Paths that are no checkpoints."""
    data = whole.read_bytes()
    made = {
        'empty': b'',
        'text': b'weights\n',
        'page': b'<!DOCTYPE html><html><body>404</body></html>',
        'truncated': data[: len(data) // 2],
        'short': data[:-1],
        'zeros': bytes(4096),
    }
    flipped = bytearray(data)
    flipped[flipped.index(b'data.pkl') + 200] ^= 0xFF
    made['flipped'] = bytes(flipped)
    for name, bytes_ in made.items():
        (folder / f'{name}.pth').write_bytes(bytes_)
    os.mkfifo(folder / 'pipe.pth')
    (folder / 'folder.pth').mkdir()
    return {
        **{name: folder / f'{name}.pth' for name in (*made, 'pipe', 'folder')},
        'device': Path('/dev/null'),
        'endless': Path('/dev/zero'),
    }


@pytest.fixture
def within_a_minute() -> Iterator[None]:
    """Ends the process otherwise: nobody writes to a pipe."""
    timer = threading.Timer(60, os._exit, [9])
    timer.start()
    yield
    timer.cancel()


@pytest.mark.usefixtures('within_a_minute')
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, training_checkpoint: Path) -> None:
    for name, path in files(tmp_path, training_checkpoint).items():
        for read in (loading.load_checkpoint, loading.load_from_local, read_release):
            with pytest.raises(InputError) as caught:
                read(path)
            message = str(caught.value)
            assert str(path) in message
            assert '\n' not in message
            assert len(message) < 400, name


@pytest.mark.usefixtures('within_a_minute')
@pytest.mark.parametrize('how', ['init_cfg', 'demo', 'convert-aggmask'])
def test_what_is_no_checkpoint_ends_a_command_in_a_line(how: str, call, tmp_path: Path) -> None:
    path = tmp_path / 'pipe.pth'
    os.mkfifo(path)
    code, lines = call(how, path)
    assert (code, len(lines)) == (2, 1), lines
    assert str(path) in lines[0]

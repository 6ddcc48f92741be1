import pickle
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import nn

from mmagg.apis import checkpoint
from mmagg.apis.checkpoint import load_checkpoint, load_from_local, load_weights, number_of_classes, secure_loading
from mmagg.io.errors import InputError


def test_log_history_and_numpy_numbers_are_data(tmp_path: Path) -> None:
    content = {'history': HistoryBuffer([1.0, 3.0], [1, 1]), 'best': np.float64(0.5), 'ids': np.arange(3)}
    torch.save(content, tmp_path / 'a.pth')
    loaded = load_from_local(str(tmp_path / 'a.pth'))
    assert loaded['history'].mean() == 2
    assert loaded['best'] == 0.5
    assert loaded['ids'].tolist() == [0, 1, 2]


@pytest.mark.parametrize('package', [b'numpy.core.', b'numpy._core.'])
def test_arrays_of_numpy_1_and_2_are_read_by_either(tmp_path: Path, package: bytes) -> None:
    """NumPy 2 pickles by the names of its private `_core`, which NumPy 1.26 has without what is in it."""
    torch.save({'ids': np.arange(3), 'best': np.float64(0.5)}, tmp_path / 'a.pth', _use_new_zipfile_serialization=False)
    content = (tmp_path / 'a.pth').read_bytes()
    (tmp_path / 'b.pth').write_bytes(content.replace(b'numpy._core.', b'numpy.core.').replace(b'numpy.core.', package))
    loaded = load_from_local(str(tmp_path / 'b.pth'))
    assert loaded['ids'].tolist() == [0, 1, 2]
    assert loaded['best'] == 0.5


def test_an_error_of_the_system_names_the_file(tmp_path: Path, monkeypatch) -> None:
    """Seeking in a file that was cut short fails without a name."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(22, 'Invalid argument')

    monkeypatch.setattr('torch.load', fail)
    torch.save({}, tmp_path / 'a.pth')
    with pytest.raises(InputError, match=r'a\.pth: cannot be read'):
        load_from_local(str(tmp_path / 'a.pth'))


@pytest.mark.parametrize(
    'name, said',
    [
        ('a.jpg', 'is no checkpoint, but an image (JPEG)'),
        ('a.png', 'is no checkpoint, but an image (PNG)'),
        ('pointer', 'is no checkpoint, but text: version https://git-lfs.github.com/spec/v1 oid'),
        ('empty', 'is no checkpoint, it is empty'),
        ('zip', 'is no checkpoint, but another zip file'),
        ('zeros', 'is no checkpoint'),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, name: str, said: str) -> None:
    for image in ('a.jpg', 'a.png'):
        cv2.imwrite(str(tmp_path / image), np.zeros((4, 6, 3), np.uint8))
    (tmp_path / 'pointer').write_text('version https://git-lfs.github.com/spec/v1\noid')
    (tmp_path / 'empty').touch()
    (tmp_path / 'zeros').write_bytes(bytes(4096))
    with ZipFile(tmp_path / 'zip', 'w') as archive:
        archive.writestr('a.txt', 'a')
    path = (tmp_path / name).rename(tmp_path / 'x.pth')
    with pytest.raises(InputError) as caught:
        load_from_local(str(path))
    assert str(caught.value) == f'checkpoint {path}: {said}'


@pytest.mark.parametrize('content', [b'', b'text', b'\xff\xd8'])
def test_what_is_no_checkpoint_is_named_where_it_is_trusted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / 'a.pth').write_bytes(content)
    secure_loading(trust=True)
    try:
        with pytest.raises(InputError, match=r'a\.pth: not a PyTorch checkpoint, or a damaged one'):
            load_checkpoint(tmp_path / 'a.pth')
    finally:
        secure_loading()


class AttributeOf:
    """Pickles as ``getattr(owner, name)``."""

    def __init__(self, owner: object, name: str) -> None:
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


@pytest.mark.parametrize('owner, name', [(HistoryBuffer, '__init__'), (np.ndarray, 'tofile')])
def test_getattr_reaches_nothing_but_the_statistics(tmp_path: Path, owner: type, name: str) -> None:
    torch.save({'x': AttributeOf(owner, name)}, tmp_path / 'a.pth')
    with pytest.raises(InputError, match='refused, because it holds more than data'):
        load_from_local(str(tmp_path / 'a.pth'))


class WithoutState:
    """Pickles as a HistoryBuffer that is not filled."""

    def __reduce__(self):
        return HistoryBuffer, ()


def test_a_log_without_content_is_refused(tmp_path: Path) -> None:
    torch.save({'x': WithoutState()}, tmp_path / 'a.pth')
    with pytest.raises(InputError, match=r'a\.pth: .*a log without content'):
        load_from_local(str(tmp_path / 'a.pth'))


def test_a_plain_pickle_is_not_executed(tmp_path: Path) -> None:
    (tmp_path / 'a.pth').write_bytes(pickle.dumps(print))
    with pytest.raises(InputError, match=r'a\.pth: '):
        load_from_local(str(tmp_path / 'a.pth'))


def test_trust_lasts_until_the_next_call_unless_the_user_forbids_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setattr(checkpoint, '_forced_here', False)
    monkeypatch.setenv(checkpoint.FORCE, '')
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'x': torch.ones(1)}, 'extra': tmp_path}, path)
    for _ in range(2):
        secure_loading()
        with pytest.raises(InputError, match='refused, because it holds more than data'):
            load_checkpoint(path)
        secure_loading(trust=True)
        assert load_checkpoint(path)['extra'] == tmp_path
    monkeypatch.setenv(checkpoint.FORCE, '1')
    for _ in range(2):
        with pytest.raises(InputError, match='the environment forbids it'):
            secure_loading(trust=True)
        secure_loading()


def test_a_trusted_file_is_read_where_mmengine_leaves_it_to_pytorch(tmp_path: Path, monkeypatch) -> None:
    """As mmengine 0.10.7 does, which says nothing of `weights_only`."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setattr(mmengine_checkpoint, 'load_from_local', torch.load)
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'x': torch.ones(1)}, 'extra': tmp_path}, path)
    monkeypatch.setattr(checkpoint, '_forced_here', True)
    secure_loading(trust=True)
    try:
        assert load_checkpoint(path)['extra'] == tmp_path
    finally:
        secure_loading()


def test_weights_load_whole_or_not_at_all() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = {key: torch.ones_like(value) for key, value in before.items()}
    wrong = {**state, '0.weight': torch.ones(3, 2), 'x': torch.ones(1)}
    del wrong['0.bias']
    with pytest.raises(InputError) as caught:
        load_weights(model, {'state_dict': wrong, 'meta': {}}, 'a.pth')
    for part in ('1 of another shape (0.weight is (3, 2) there and (2, 2) here)', '1 missing (0.bias)', '(x)'):
        assert part in str(caught.value)
    assert all((value == before[key]).all() for key, value in model.state_dict().items())

    del state['1.num_batches_tracked']  # older checkpoints have none
    load_weights(model, {'state_dict': state, 'meta': {}}, 'a.pth')
    assert (model[0].weight == 1).all()


def test_only_the_first_keys_are_named() -> None:
    model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(9)))
    with pytest.raises(InputError, match=r'18 missing \(0.weight, 0.bias, 1.weight, …\)'):
        load_weights(model, {'state_dict': {}, 'meta': {}}, 'a.pth')


def test_classes_are_those_of_the_objects(root: Path) -> None:
    init_default_scope('mmdet')
    cfg = Config.fromfile(root / 'configs/a2fpn/htc_r50_a2fpn_20e_coco.py').model
    with torch.device('meta'):
        model = MODELS.build(cfg)
    assert number_of_classes(model) == 80  # not 1 of the region proposals, nor 183 kinds of stuff


def test_another_projects_checkpoint_names_its_converter(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setattr(checkpoint, '_forced_here', False)
    monkeypatch.setenv(checkpoint.FORCE, '')
    secure_loading()
    path = tmp_path / 'R_50.pth'
    torch.save({'model': {'basis_module.refine.0.0.weight': torch.ones(1)}, 'iteration': 9}, path)  # Detectron2's form
    with pytest.raises(InputError, match=r'does not fit the model \(its keys .*convert-adelaidet .*R_50\.pth '):
        load_weights(nn.Linear(1, 1), load_checkpoint(path), path)
    pickled = tmp_path / 'R_50.pkl'
    pickled.write_bytes(pickle.dumps({'model': {'basis_module.refine.0.0.weight': np.ones(1)}}))
    with pytest.raises(InputError, match=r'convert-adelaidet .*R_50\.pkl R_50_mmagg\.pth --config CONFIG'):
        load_checkpoint(pickled)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf'), 1e300])
def test_weights_that_are_not_finite_are_told_in_one_line(tmp_path: Path, monkeypatch, value: float) -> None:
    told = []
    monkeypatch.setattr(checkpoint, 'print_log', lambda line, **_: told.append(line))
    state = {'a': torch.ones(2), 'n': torch.tensor(3), 'none': torch.ones(0)}
    torch.save({'state_dict': state}, tmp_path / 'good.pth')
    load_checkpoint(tmp_path / 'good.pth')
    assert not told
    bad = {key: torch.tensor([1, value], dtype=torch.float64) for key in 'bc'}
    torch.save({**state, **bad}, tmp_path / 'x.pth')
    load_checkpoint(tmp_path / 'x.pth')
    (line,) = told
    assert f'{tmp_path}/x.pth: 2 of 5 tensors hold NaN or infinite numbers' in line
    assert line.endswith('the first is b')

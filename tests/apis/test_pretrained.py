"""Pre-trained weights are found without torchvision, and what a training lacks is said before it begins."""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from mmagg.apis import checkpoint, pretrained, train
from mmagg.apis.checkpoint import load_checkpoint, secure_loading
from mmagg.apis.config import load_config
from mmagg.apis.pretrained import fetch, prepare_model, weights_url
from mmagg.io.errors import InputError

PLACE = 'model.backbone.init_cfg'


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of downloaded weights, an empty one; torchvision is not installed, and loading is data only."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    monkeypatch.setitem(sys.modules, 'torchvision', None)
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setattr(checkpoint, '_forced_here', False)
    monkeypatch.setattr(checkpoint, '_trusted', False)
    monkeypatch.setenv(checkpoint.FORCE, '')
    secure_loading()
    folder = tmp_path / 'home/hub/checkpoints'
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def site(tmp_path: Path):
    """A web site, and the folder of its files."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    folder = tmp_path / 'site'
    folder.mkdir()
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=folder))
    Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}', folder
    server.shutdown()
    server.server_close()


def config(source: str, **changes: object) -> Config:
    backbone = dict(type='ResNet', init_cfg=dict(type='Pretrained', checkpoint=source))
    return Config(dict(model=dict(type='SOLO', backbone=backbone), **changes))


def from_resnet18(path: Path) -> Config:
    cfg = load_config(path)
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='torchvision://resnet18')
    return cfg


def refusal(cfg: Config) -> str:
    with pytest.raises(InputError) as caught:
        prepare_model(cfg, 'none')
    return str(caught.value)


def test_names_stand_for_the_first_weights_of_torchvision():
    resnet50 = 'https://download.pytorch.org/models/resnet50-0676ba61.pth'  # IMAGENET1K_V1
    assert weights_url('torchvision://resnet50') == weights_url('modelzoo://resnet50') == resnet50
    assert weights_url(resnet50) == resnet50
    assert weights_url('open-mmlab://resnet50_caffe') == weights_url('open-mmlab://detectron/resnet50_caffe')
    assert weights_url('weights/resnet50.pth') is None
    with pytest.raises(InputError, match='torchvision://resnet5: no such weights; did you mean resnet50'):
        weights_url('torchvision://resnet5')


def test_training_starts_from_weights_in_the_cache(cache, tiny_config, shapes_folder, tmp_path, monkeypatch):
    from mmdet.registry import MODELS

    torch.manual_seed(1)
    backbone = MODELS.build(load_config(tiny_config).model.backbone)
    torch.save(backbone.state_dict(), cache / 'resnet18-f37072fd.pth')
    cfg = from_resnet18(tiny_config)
    cfg.merge_from_dict({'optim_wrapper.optimizer.lr': 0.0, 'train_cfg.max_iters': 1})
    work_dir = train(cfg, coco=shapes_folder, work_dir=tmp_path / 'run')
    trained = load_checkpoint(work_dir / 'iter_1.pth')['state_dict']
    assert all(torch.equal(trained[f'backbone.{name}'], value) for name, value in backbone.named_parameters())


def test_without_a_network_a_line_says_what_to_do(cache, tiny_config, shapes_folder, tmp_path, monkeypatch):
    url = 'http://127.0.0.1:9/resnet18-f37072fd.pth'  # nobody listens there
    monkeypatch.setattr(pretrained, '_torchvision_urls', lambda name: {'resnet18': url})
    with pytest.raises(InputError) as caught:
        train(from_resnet18(tiny_config), coco=shapes_folder, work_dir=tmp_path / 'run')
    message = str(caught.value)
    assert '\n' not in message
    for part in (url, 'refused', str(cache), f'--cfg-options {PLACE}=None'):
        assert part in message
    assert not (tmp_path / 'run').exists()


def test_a_file_that_is_not_there(site, cache):
    url, _ = site
    for nameless in (f'{url}/', f'{url}/a/..'):
        assert 'names no file' in refusal(config(nameless))
    assert 'http://[x/a.pth: is no address' in refusal(config('http://[x/a.pth'))
    assert '404' in refusal(config(f'{url}/x.pth'))
    assert f'{PLACE}: checkpoint gone.pth: no such file' in refusal(config('gone.pth'))
    assert refusal(config('gone.pth', load_from=f'{url}/y.pth')).startswith(PLACE)
    assert '--cfg-options load_from=None' in refusal(Config(dict(model={}, load_from=f'{url}/y.pth')))
    assert not list(cache.iterdir())


def test_downloads_once(site, cache, monkeypatch):
    url, folder = site
    torch.save({'w': torch.ones(2), 'history': np.arange(3)}, folder / 'new.pth')
    (folder / 'broken.pth').write_bytes((folder / 'new.pth').read_bytes()[:500])
    monkeypatch.setattr(pretrained, '_torchvision_urls', lambda name: {name: f'{url}/{name}.pth'})
    prepare_model(config('torchvision://new'), 'none')
    assert [path.name for path in cache.iterdir()] == ['new.pth']
    (folder / 'new.pth').unlink()
    content = CheckpointLoader.load_checkpoint('torchvision://new', map_location='cpu', logger='silent')
    assert content['w'].tolist() == [1, 1]  # with numpy arrays beside them, as training checkpoints have
    message = refusal(config('torchvision://broken'))
    assert f'{cache / "broken.pth"}: cannot be read' in message


def test_addresses_that_end_alike_are_two_files(site, cache):
    url, folder = site
    for name in ('a', 'b'):
        (folder / name).mkdir()
        (folder / name / 'best.pth').write_text(name)
        (folder / name / 'best-0123abcd.pth').write_text(name)
    (folder / 'download').touch()
    assert [fetch(f'{url}/{name}/best.pth').read_text() for name in 'aba'] == ['a', 'b', 'a']
    assert fetch(f'{url}/a/best.pth?key=2') == fetch(f'{url}/a/best.pth?key=1')  # keys pass, as of a signed address
    assert fetch(f'{url}/download?id=1') != fetch(f'{url}/download?id=2')
    hashed = [fetch(f'{url}/{name}/best-0123abcd.pth') for name in 'ab']
    assert hashed == [cache / 'best-0123abcd.pth'] * 2


def test_weights_are_read_as_data_only(site):
    url, folder = site
    torch.save({'w': torch.ones(2), 'code': Path('x')}, folder / 'a.pth')
    assert 'refused, because it holds more than data' in refusal(config(f'{url}/a.pth'))
    secure_loading(trust=True)
    prepare_model(config(f'{url}/a.pth'), 'none')
    with pytest.raises(InputError, match='cannot be downloaded'):
        fetch(f'{url}/b.pth')


def test_a_missing_dictionary_is_said_before_weights_are_downloaded(root, tmp_path, monkeypatch):
    cfg = load_config(root / 'configs/meinst/meinst-none_r50_fpn_1x_coco.py')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, 'fetch', lambda source: pytest.fail(f'{source} was asked for'))
    message = refusal(cfg)
    assert message.startswith('model.mask_head.masks.codec: ')
    assert 'meinst_28_60.npz is missing' in message
    assert (
        'make one with mmagg fit-mask-codec --coco data/coco/ --codec pca --size 28 --dims 60 --out data/coco/'
        in message
    )
    assert message.endswith('elsewhere: --cfg-options model.mask_head.masks.codec.dictionary=FILE')

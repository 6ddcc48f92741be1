"""The names of public weights: each has a config that is there, and the metafiles are all read."""

from pathlib import Path

import mmdet
import pytest
import yaml

from mmagg import config
from mmagg.apis.config import load_config
from mmagg.apis.named_weights import with_options
from mmagg.apis.plain_model import model_without_numbers
from mmagg.io.errors import InputError
from mmagg.weights import catalogue as catalogue_module
from mmagg.weights.catalogue import BACKBONES, Weights, catalogue, fitting, named

ZOO = Path(mmdet.__file__).parent / '.mim/configs'


def test_every_source_of_the_metafiles_has_a_name(root: Path) -> None:
    listed = {url for one in catalogue().values() for url in one.urls}
    for path in root.glob('configs/*/metafile.yml'):
        for model in yaml.safe_load(path.read_text())['Models']:
            for entry in model.get('Converted From', []):
                url = entry['Weights'].replace('/view', '').replace('https://drive.google.com/file/d/', '')
                assert any(url in one for one in listed)


def test_every_name_has_a_config_that_is_there() -> None:
    for one in catalogue().values():
        package, _, name = one.config.partition('::')
        assert Path(config(name)).is_file() if package == 'mmagg' else (ZOO / name).is_file(), one
        assert one.name in fitting(Path(name).stem)
        assert one.sha256 == '' or (len(one.sha256) == 8 and one.urls[0].endswith(f'-{one.sha256}.pth'))
    files = [one.file for one in catalogue().values()]
    assert len(files) == len(set(files)), 'one would be taken for the other'


@pytest.mark.parametrize('family', ['mask-rcnn_r50', 'cascade-mask-rcnn_r50', 'htc_r50', 'fcos_r50', 'solov2_x101'])
def test_families_of_mmdetection(family: str) -> None:
    assert any(name.startswith(f'mmdet/{family}') for name in catalogue())


def test_terms_are_stated() -> None:
    for one in catalogue().values():
        assert one.terms == ('for non-commercial use' if 'academic' in one.licence else '')


def test_options_of_a_name_are_of_its_config() -> None:
    (one,) = (one for one in catalogue().values() if one.options)
    options = with_options(one.name, one.config, {'a': 1})
    assert options.pop('a') == 1
    cfg = load_config(one.config, options)
    assert cfg.model.backbone.dcn == dict(type='DCN', deform_groups=1)
    model_without_numbers(cfg)
    assert with_options(one.name, 'other.py', None) is None


def test_short_and_misspelt_names() -> None:
    assert named('solo_r50_fpn_3x_coco').name == 'mmdet/solo_r50_fpn_3x_coco'
    assert named('solo/solo_r50_fpn_3x_coco').name == 'solo/solo_r50_fpn_3x_coco'
    with pytest.raises(InputError, match='did you mean mmdet/mask-rcnn_r50_fpn_1x_coco'):
        named('mask_rcnn_r50_fpn_1x_coco')


def test_a_closed_address_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    one = catalogue()['solo/solov2_r101_fpn_3x_coco']
    assert ['huggingface' in url for url in one.urls] == [True, False]
    assert 'closed' not in one.status


def test_without_mmdetection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_module, 'find_spec', lambda name: None)
    ours = catalogue.__wrapped__()
    assert ours.keys() < catalogue().keys()
    assert all(isinstance(one, Weights) for one in ours.values())


def test_backbones_of_the_configs_are_listed(root: Path) -> None:
    text = ''.join(path.read_text() for path in root.glob('configs/**/*.py'))
    assert [name for name in BACKBONES if name not in text and not name.startswith('mmagg://')] == []

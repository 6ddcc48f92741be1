"""The metafiles: complete, with known fields alone, true to the READMEs and to MMDetection's, and read by mmengine."""

import re
from functools import reduce
from operator import getitem
from pathlib import Path

import mmdet
import pytest
import torch
import yaml
from mmdet.apis import DetInferencer
from mmdet.models.detectors import SOLO
from mmengine.config import Config
from mmengine.hub import get_model

from mmagg.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
METAFILES = sorted((ROOT / 'configs').glob('*/metafile.yml'))
CONFIGS = {path.stem: path for path in (ROOT / 'configs').glob('*/*_coco.py')}
FILES = {path.parent.name: yaml.safe_load(path.read_text()) for path in METAFILES}
MODELS = {model['Name']: model for content in FILES.values() for model in content['Models']}
SOURCES = {name: content['Collections'][0].get('Sources', {}) for name, content in FILES.items()}

COLLECTION = {'Name', 'Metadata', 'Paper', 'README', 'Code'}
MODEL = {'Name', 'In Collection', 'Config', 'Metadata', 'Weights'}
RESULT = {'Task', 'Dataset', 'Metrics', 'Source'}
TASKS = {'Instance Segmentation': 'mask AP', 'Object Detection': 'box AP'}
METRIC = re.compile(r'(paper|release) (mask AP|box AP|AP\*)(50|75|s|m|l)?')
SOURCE = {'Prefix', 'Code', 'Command', 'Licence', 'Stated In', 'Status'}

files = pytest.mark.parametrize('method', FILES)
models = pytest.mark.parametrize('name', MODELS)
converted = pytest.mark.parametrize('name', [name for name, model in MODELS.items() if 'Converted From' in model])


def blocks(readme: str) -> list[set[str]]:
    """The figures of each row of a table, and of each paragraph."""
    return [set(re.findall(r'\d+\.\d', block)) for block in re.split(r'\n\n|\n(?=[|-])', readme)]


def test_index_imports_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert index == {'Import': [str(path.relative_to(ROOT)) for path in METAFILES]}


def test_every_config_is_in_one_metafile():
    listed = [model['Config'] for content in FILES.values() for model in content['Models']]
    assert sorted(listed) == sorted(str(path.relative_to(ROOT)) for path in CONFIGS.values())


@files
def test_collection(method):
    assert FILES[method].keys() == {'Collections', 'Models'}
    (collection,) = FILES[method]['Collections']
    assert collection.keys() - {'Sources'} == COLLECTION
    assert {'Training Data', 'Training Techniques', 'Training Resources'} == collection['Metadata'].keys()
    assert collection['Paper'].keys() <= {'Title', 'URL'}
    assert (ROOT / 'configs' / method / collection['README']).is_file(), "model-index looks from the metafile's folder"
    for name, source in collection.get('Sources', {}).items():
        assert source.keys() - {'Dictionary', 'Terms'} == SOURCE, name
        assert source['Command'].removeprefix('mmagg ') in COMMANDS


@models
def test_model(name):
    model = MODELS[name]
    assert model.keys() - {'Results', 'Converted From'} == MODEL
    path = ROOT / model['Config']
    assert path.stem == name
    assert model['In Collection'] == FILES[path.parent.name]['Collections'][0]['Name']
    assert model['Metadata'].keys() == {'Epochs'}
    assert model['Weights'] is None, 'mmengine would load them as they are'


@models
def test_results_are_those_of_the_readme(name):
    """Figures of one table stand together in a row or a sentence, and say whose they are."""
    model = MODELS[name]
    readme = blocks((ROOT / model['Config']).with_name('README.md').read_text())
    together: dict[tuple, set[str]] = {}
    for result in model.get('Results', []):
        assert result.keys() == RESULT
        assert result['Dataset'] in ('COCO val2017', 'COCO test-dev')
        parts = {METRIC.fullmatch(metric) for metric in result['Metrics']}
        assert None not in parts
        (whose,) = {part[1] for part in parts}
        assert (whose == 'paper') == bool(re.search(r', Tables? \d', result['Source']))
        assert {part[2] for part in parts} - {'AP*'} == {TASKS[result['Task']]}
        figures = {f'{value:.1f}' for value in result['Metrics'].values()}
        together.setdefault((result['Source'], result['Dataset']), set()).update(figures)
    for (source, dataset), figures in together.items():
        assert any(figures <= block for block in readme), f'{source}, {dataset}: {figures}'


@converted
def test_weights_of_others_name_their_source(name):
    model = MODELS[name]
    method = Path(model['Config']).parent.name
    zoo = Path(mmdet.__file__).parent / '.mim/configs' / method / 'metafile.yml'
    for entry in model['Converted From']:
        assert entry.keys() - {'SHA256', 'Options', 'Stated In', 'Status'} == {'Source', 'Weights'}
        assert entry['Source'] in SOURCES[method]
        assert entry['Weights'].startswith('https://')
        stated = re.search(r'-([0-9a-f]{8})\.pth$', entry['Weights'])
        assert entry.get('SHA256') == (stated and stated[1])
        if entry['Source'] == 'MMDetection':  # its address differs between MMDetection's distributions
            assert entry['Weights'].rpartition('/')[2] in zoo.read_text()
        if 'Options' in entry:
            cfg = Config.fromfile(ROOT / model['Config'])
            for option in entry['Options'].split():
                key, _, value = option.partition('=')
                own = reduce(getitem, key.split('.'), cfg)  # raises
                assert own != value


def test_mmdets_inferencer_takes_a_name(tmp_path):
    name = 'aggmask-solo_r50_fpn_3x_coco'
    with pytest.warns(UserWarning, match='Checkpoint is not loaded'):
        model = DetInferencer(name, scope='mmagg', device='cpu', show_progress=False).model
    with torch.no_grad():
        model.mask_head.conv_cls.bias.fill_(1.5)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / 'weights.pth')
    other = DetInferencer(name, str(tmp_path / 'weights.pth'), scope='mmagg', device='cpu', show_progress=False)
    assert (other.model.mask_head.conv_cls.bias == 1.5).all()
    assert DetInferencer.list_models('mmagg') == list(MODELS)


def test_mmengines_hub_makes_a_model():
    assert isinstance(get_model('mmagg::solo/solo_r50_fpn_1x_coco.py'), SOLO)
    with pytest.raises(TypeError):
        get_model('mmagg::solo/solo_r50_fpn_1x_coco.py', pretrained=True)

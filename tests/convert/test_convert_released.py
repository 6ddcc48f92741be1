"""Checkpoints of the AggMask release and of SOLO's authors as ours, through the command.

Their names are those of `released_names`.
"""

import subprocess
import sys
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch
from golden_aggmask import head_config, read_case
from mmdet.apis import inference_detector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from pycocotools import mask as coco_mask
from released_names import SOLO, WHOLE, named_as
from test_configs import slim
from torch import nn

from mmagg import register  # noqa: F401
from mmagg.apis.inference import load_model
from mmagg.cli.main import COMMANDS, run

ON_SOLO, ON_SOLOV2 = 'aggmask/aggmask-solo_r50_fpn_3x_coco.py', 'aggmask/aggmask-solov2_r50_fpn_6x_coco.py'
CLASSES = tuple(f'thing {i}' for i in range(80))


@MODELS.register_module()
class StoredFeatures(nn.Module):
    """Instead of backbone and neck: the pyramid of one image of a reference case, whatever the image."""

    def __init__(self, case: str | None = None, image: int = 0) -> None:
        super().__init__()
        feats = [] if case is None else torch.load(case, weights_only=True)['feats']
        self.feats = [x[image : image + 1].float() for x in feats]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        assert x.shape[2:] == (96, 128)
        return self.feats


@pytest.fixture(autouse=True)
def _loading_restored(monkeypatch):
    """The tool decides for the whole process how checkpoints are read."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '')
    init_default_scope('mmdet')


@pytest.fixture
def convert(tmp_path, capsys):
    """Runs the converter; gives its exit code, and its lines on stdout and stderr."""

    def convert(model, state, *options, meta=None):
        Config(dict(model=model)).dump(tmp_path / 'config.json')
        torch.save(dict(state_dict=state, meta=meta or dict(CLASSES=CLASSES, epoch=36)), tmp_path / 'theirs.pth')
        files = [tmp_path / 'theirs.pth', tmp_path / 'ours.pth', '--config', tmp_path / 'config.json']
        code = run(COMMANDS['convert-aggmask'], [*map(str, files), *options])
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return convert


@cache
def config_of(path):
    return Config.fromfile(path).model


def small_model(root, name, *, backbone=False):
    """A config's model with few channels."""
    model = deepcopy(config_of(root / 'configs' / name))
    slim(model)
    return model if backbone else {**model, 'backbone': dict(type='StoredFeatures'), 'neck': None}


def changed(model, changes):
    """The model with some keys below `model.mask_head` set."""
    cfg = Config(dict(model=model))
    cfg.merge_from_dict({f'model.mask_head.{key}': value for key, value in changes.items()})
    return cfg.model


def random_state(model):
    """Our names and shapes, values that no two weights share."""
    own = MODELS.build(model).state_dict()
    return {key: torch.randn(x.shape) if x.is_floating_point() else x for key, x in own.items()}


def assert_holds(path, state):
    content = torch.load(path, weights_only=True)
    assert content['state_dict'].keys() == state.keys()
    assert all(torch.equal(content['state_dict'][key], state[key]) for key in state)
    assert content['meta'] == dict(CLASSES=CLASSES, epoch=36)


@pytest.mark.parametrize('config', WHOLE)
def test_every_weight_arrives(config, root, tmp_path, convert):
    model = small_model(root, config, backbone=True)
    state = random_state(model)
    code, out, err = convert(model, named_as(WHOLE[config], state))
    assert code == 0, err
    assert str(tmp_path / 'ours.pth') in out[0]
    assert_holds(tmp_path / 'ours.pth', state)


@pytest.mark.parametrize('image', [0, 1])
@pytest.mark.parametrize('name', ['agg_n5', 'agg_cls', 'star_n5'])
def test_a_converted_detector_gives_the_authors_detections(name, image, shared, tmp_path, convert):
    case = read_case(shared, name)
    head = head_config(case)
    test_cfg = head.pop('test_cfg')
    model = dict(
        type='SOLO',
        data_preprocessor=dict(type='DetDataPreprocessor', mean=[0] * 3, std=[1] * 3, pad_size_divisor=32),
        backbone=dict(type='StoredFeatures', case=str(shared / f'golden/aggmask/{name}.pt'), image=image),
        neck=None,
        mask_head=head,
        test_cfg=test_cfg | dict(mask_format='bitmap'),
    )
    state = {f'bbox_head.{key}': value for key, value in case['state'].items()}
    code, _, err = convert(model, state, meta=dict(CLASSES=CLASSES[: case['cfg']['num_classes'] - 1]))
    assert code == 0, err

    meta, theirs = case['metas'][image], case['result'][image]
    (height, width), (full_height, full_width) = meta['img_shape'][:2], meta['ori_shape'][:2]
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(width, height), keep_ratio=True),
        dict(type='PackDetInputs', meta_keys=('ori_shape', 'img_shape', 'scale_factor')),
    ]
    cfg = Config.fromfile(tmp_path / 'config.json')
    cfg.test_dataloader = dict(dataset=dict(pipeline=pipeline))
    detector = load_model(cfg, tmp_path / 'ours.pth')
    found = inference_detector(detector, np.zeros((full_height, full_width, 3), np.uint8)).pred_instances

    masks = np.unpackbits(theirs['masks'].numpy(), count=int(np.prod(theirs['shape']))).reshape(theirs['shape'])
    assert len(found) == len(masks) > 0
    assert found.labels.tolist() == theirs['labels'].tolist()
    torch.testing.assert_close(found.scores, theirs['scores'], rtol=0, atol=1e-5)
    for ours, wanted in zip(found.masks, masks, strict=True):
        # A pixel may be at the threshold to rounding, which is not the same on all processors.
        assert (coco_mask.decode(ours) != wanted).sum() <= 1


# Config, what the checkpoint has instead, and the lines that say so.
HEAD = 'model.mask_head.'
PARAMETERS = 'the checkpoint predicts {} parameters per cell for its aggregation net and the config 945: '
DIFFERENCES = {
    'parameter convolution': (
        ON_SOLO,
        {'aggregator.parameters.kernel_size': 1},
        [
            "the checkpoint's parameter convolution is 1 x 1, the config's 3 x 3: "
            f'add --cfg-options {HEAD}aggregator.parameters.kernel_size=1'
        ],
    ),
    'ctx1': (
        ON_SOLO,
        {'aggregator.context.hidden_channels': None},
        [
            "the checkpoint's width of a second context convolution is absent, the config's 32: "
            f'add --cfg-options {HEAD}aggregator.context.hidden_channels=None'
        ],
    ),
    'no context': (
        ON_SOLO,
        {'aggregator.context': None},
        [f"the checkpoint's context is absent, the config's present: add --cfg-options {HEAD}aggregator.context=None"],
    ),
    'context from mask features': (
        ON_SOLOV2,
        {'aggregator.context.source': 'mask_features'},
        [
            "the checkpoint's source of the context is mask_features, the config's pyramid: "
            f'add --cfg-options {HEAD}aggregator.context.source=mask_features'
        ],
    ),
    'mask grids': (
        ON_SOLO,
        {'mask_branch.grids': [20, 18, 12, 8, 6], 'aggregator.neighbours': 'corners'},
        [
            "the checkpoint's mask grid is 20-18-12-8-6, the config's 40-36-24-16-12: "
            f"add --cfg-options '{HEAD}mask_branch.grids=[20,18,12,8,6]'",
            PARAMETERS.format(909) + f'add --cfg-options {HEAD}aggregator.neighbours=corners',
        ],
    ),
    'context only': (
        ON_SOLO,
        {'aggregator.neighbours': 'none'},
        [PARAMETERS.format(765) + f'add --cfg-options {HEAD}aggregator.neighbours=none'],
    ),
    '2 layers': (
        ON_SOLOV2,
        {'aggregator.num_layers': 2},
        [PARAMETERS.format(797) + f'add --cfg-options {HEAD}aggregator.num_layers=2'],
    ),
    '1 x 1 net': (
        ON_SOLO,
        {'aggregator.kernel_size': 1},
        [PARAMETERS.format(113) + f'add --cfg-options {HEAD}aggregator.kernel_size=1'],
    ),
    'no tower of its own': (
        ON_SOLOV2,
        {'aggregator.parameters.tower': None, 'aggregator.parameters.features': 'mask_tower'},
        [
            "the checkpoint's own tower of the parameters is absent, the config's present: "
            f'add --cfg-options {HEAD}aggregator.parameters.tower=None '
            f'{HEAD}aggregator.parameters.features=mask_tower'
        ],
    ),
    'classes': (
        ON_SOLOV2,
        {'num_classes': 20},
        [f"the checkpoint's number of classes is 20, the config's 80: add --cfg-options {HEAD}num_classes=20"],
    ),
    'one class': (
        ON_SOLOV2,
        {'num_classes': 1},
        [f"the checkpoint's number of classes is 1, the config's 80: add --cfg-options {HEAD}num_classes=1"],
    ),
}


@pytest.mark.parametrize('what', DIFFERENCES)
def test_a_difference_is_named_and_its_option_helps(what, root, tmp_path, convert):
    config, changes, lines = DIFFERENCES[what]
    model = small_model(root, config)
    state = random_state(changed(model, changes))
    theirs = named_as(WHOLE[config], state)
    code, _, err = convert(model, theirs)
    assert (code, err) == (2, [f'error: {line}' for line in lines])
    assert not (tmp_path / 'ours.pth').exists()

    options = [word.strip("'") for line in lines for word in line.partition('add ')[2].split()]
    code, out, err = convert(model, theirs, *options)
    assert code == 0, err
    assert_holds(tmp_path / 'ours.pth', state)
    assert all(word in out[-1] for word in [*options, 'test.py', 'demo.py'])


@pytest.mark.parametrize(
    'missing, line',
    [
        ({'aggregator': None}, "aggregation is present, the config's absent: use a config that has"),
        ({'aggregator.context': None}, "context is present, the config's absent: use a config that has"),
        (
            {'aggregator.parameters.tower': None, 'aggregator.parameters.features': 'class_tower'},
            "own tower of the parameters is present, the config's absent: use a config that has",
        ),
    ],
)
def test_a_part_that_no_option_can_add_takes_another_config(missing, line, root, tmp_path, convert):
    model = small_model(root, ON_SOLOV2)
    theirs = named_as(WHOLE[ON_SOLOV2], random_state(model))
    code, _, err = convert(changed(model, missing), theirs)
    assert (code, len(err)) == (2, 1)
    assert line in err[0]
    assert not (tmp_path / 'ours.pth').exists()


def test_a_plain_solo_fits_once_the_aggregation_is_taken_out(root, tmp_path, convert):
    state = random_state(small_model(root, 'solo/solo_r50_fpn_3x_coco.py'))
    model = small_model(root, ON_SOLO)
    _, _, err = convert(model, named_as(SOLO, state))
    option = 'model.mask_head.aggregator=None'
    assert err == [f"error: the checkpoint's aggregation is absent, the config's present: add --cfg-options {option}"]
    assert convert(model, named_as(SOLO, state), '--cfg-options', option)[0] == 0
    assert_holds(tmp_path / 'ours.pth', state)


def test_another_method_is_named_in_one_line(root, convert):
    theirs = named_as(WHOLE[ON_SOLOV2], random_state(small_model(root, ON_SOLOV2)))
    code, _, err = convert(small_model(root, ON_SOLO), theirs)
    assert (code, len(err)) == (2, 1)
    assert "mask branch is DynamicMaskBranch, the config's StaticMaskBranch: use a config of that method" in err[0]


@pytest.mark.parametrize(
    'config, settings',
    [
        (ON_SOLO, "'grids=[40,36,24,16,12]' aggregator.mask_activation=none aggregator.parameters.activation=tanh"),
        (
            ON_SOLOV2,
            "'grids=[40,36,24,16,12]' 'mask_branch.grids=[40,36,24,16,12]' aggregator.mask_activation=none "
            'aggregator.parameters.activation=none',
        ),
        ('solov2/solov2_r50_fpn_3x_coco.py', "'grids=[40,36,24,16,12]'"),
        ('solo/solo_r50_fpn_3x_coco.py', None),
    ],
)
def test_settings_without_weights_are_listed(config, settings, root, convert):
    model = small_model(root, config)
    _, out, _ = convert(model, named_as(WHOLE[config], random_state(model)))
    assert [line.partition(': ')[2] for line in out[1:]] == ([] if settings is None else [settings])


def test_weights_under_other_names_are_refused(root, tmp_path, convert):
    model = small_model(root, ON_SOLO)
    mmdet = {key.replace('class_tower', 'cls_convs'): x for key, x in random_state(model).items()}
    code, _, err = convert(model, mmdet)
    assert (code, len(err)) == (2, 1)
    assert 'no head under the names that this converter knows' in err[0]
    assert 'mmagg convert-mmdet ' in err[0]
    assert not (tmp_path / 'ours.pth').exists()


def test_a_weight_too_many_is_refused(root, tmp_path, convert):
    model = small_model(root, ON_SOLO)
    theirs = named_as(WHOLE[ON_SOLO], random_state(model)) | {'bbox_head.extra.weight': torch.zeros(1)}
    code, _, err = convert(model, theirs)
    assert (code, len(err)) == (2, 1)
    assert '1 unknown to the model (mask_head.extra.weight)' in err[0]
    assert not (tmp_path / 'ours.pth').exists()


def test_the_command_ends_in_one_line(root, tmp_path):
    command = [
        sys.executable,
        'tools/model_converters/aggmask_to_mmagg.py',
        tmp_path / 'nothing.pth',
        tmp_path / 'x.pth',
    ]
    done = subprocess.run(
        [*command, '--config', root / 'configs' / ON_SOLO], cwd=root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert 'nothing.pth: no such file' in done.stderr

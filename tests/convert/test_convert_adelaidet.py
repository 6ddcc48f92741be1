"""Checkpoints of AdelaiDet's BlendMask and MEInst as ours, through the command, with small models.

Their names are those of `released_names`.
"""

import pickle
import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from released_names import released

from mmagg import register  # noqa: F401
from mmagg.cli.main import COMMANDS, run
from mmagg.models.masks.boxed.pca_codec import Dictionary
from mmagg.weights.adelaidet_keys import adelaidet_to_mmagg


def tower(num_convs, **kwargs):
    return dict(num_convs=num_convs, bias=True, **kwargs)


LOSSES = dict(
    loss_cls=dict(type='FocalLoss'),
    loss_box=dict(type='DistanceIoULoss'),
    loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True),
)
BLENDMASK = dict(
    type='SingleStageInstanceSegmentor',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[103.53, 116.28, 123.675], std=[1, 1, 1], pad_mask=True),
    backbone=dict(type='ResNet', depth=50, style='caffe', base_channels=4, stem_channels=4, norm_cfg=dict(type='BN')),
    neck=dict(
        type='FPN',
        in_channels=[16, 32, 64, 128],
        out_channels=32,
        num_outs=5,
        start_level=1,
        add_extra_convs='on_output',
        relu_before_extra_convs=True,
    ),
    mask_head=dict(
        type='BoxedMaskHead',
        boxes=dict(
            type='LocationHead',
            num_classes=3,
            in_channels=32,
            channels=32,
            strides=[8, 16, 32, 64, 128],
            class_tower=tower(2),
            box_tower=tower(2),
            assigner=dict(type='LocationAssigner', ranges=[(-1, 64), (64, 128), (128, 256), (256, 512), (512, 1e8)]),
            **LOSSES,
        ),
        coefficients=dict(in_channels=32),
        masks=dict(
            type='BlendedMasks',
            attention_size=7,
            basis=dict(type='ProtoNet', in_channels=32, channels=8, num_convs=3, num_bases=4),
        ),
        semantic=dict(type='SemanticHead', num_classes=3, in_channels=32, channels=8),
    ),
)
REAL_TIME = {
    'neck.num_outs': 3,
    'neck.add_extra_convs': False,
    'mask_head.boxes.strides': [8, 16, 32],
    'mask_head.boxes.assigner.ranges': [(-1, 64), (64, 128), (128, 1e8)],
    'mask_head.boxes.shared_tower': tower(3),
    'mask_head.boxes.class_tower': None,
    'mask_head.boxes.box_tower': None,
    'mask_head.masks.basis.num_convs': 2,
}
DCN_INTERVAL = {
    'backbone': BLENDMASK['backbone']
    | dict(
        type='ResNetDCNInterval',
        dcn=dict(type='DCNv2', deform_groups=1),
        stage_with_dcn=(False, True, True, True),
        dcn_interval=3,
    )
}
MEINST_TOWER = tower(4, dcn_cfg=dict(type='DCN'), dcn_layers='last')
MEINST_MODEL = {
    'mask_head.boxes.use_scale': True,
    'mask_head.boxes.class_tower': MEINST_TOWER,
    'mask_head.boxes.box_tower': MEINST_TOWER,
    'mask_head.coefficients.tower': MEINST_TOWER,
    'mask_head.masks': dict(
        _delete_=True, type='CodedMasks', codec=dict(type='PCAMaskCodec', num_codes=6, mask_size=4)
    ),
    'mask_head.semantic': None,
}
FCOS = {'mask_head.boxes.use_scale': True, 'mask_head.masks': None, 'mask_head.semantic': None}
BN_HEAD = REAL_TIME | {'mask_head.boxes.shared_tower': dict(num_convs=3, num_levels=3)}
MODELS_OF_RELEASE = {
    'R_50': {},
    'RT': REAL_TIME,
    'RT bn-head': BN_HEAD,
    'dcni3': DCN_INTERVAL,
    'meinst': MEINST_MODEL,
    'fcos': FCOS,
}


def changed(changes):
    """The model with some keys set."""
    cfg = Config(dict(model=deepcopy(BLENDMASK)))
    cfg.merge_from_dict({f'model.{key}': value for key, value in deepcopy(changes).items()})
    return cfg.model.to_dict()


def random_state(model):
    """Our names and shapes, values that no two weights share; Detectron2 does not count the batches of a frozen BN."""
    own = MODELS.build(deepcopy(model)).state_dict()
    return {key: torch.randn(x.shape) for key, x in own.items() if not key.endswith('num_batches_tracked')}


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmdet')


@pytest.fixture
def convert(tmp_path, capsys, monkeypatch):
    """Runs the converter; gives its exit code, and its lines on stdout and stderr."""
    # The tool decides for the whole process how checkpoints are read.
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '')

    def convert(model, state, *options, suffix='.pth'):
        source = tmp_path / f'theirs{suffix}'
        Config(dict(model=model)).dump(tmp_path / 'config.json')
        if suffix == '.pkl':
            content = dict(model={key: x.numpy() for key, x in state.items()}, __author__='AdelaiDet')
            source.write_bytes(pickle.dumps(content))
        else:
            torch.save(dict(model=state, iteration=90000), source)
        files = [source, tmp_path / 'ours.pth', '--config', tmp_path / 'config.json']
        code = run(COMMANDS['convert-adelaidet'], [*map(str, (*files, *options))])
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return convert


@pytest.mark.parametrize('suffix', ['.pth', '.pkl'])
@pytest.mark.parametrize('kind', MODELS_OF_RELEASE)
def test_every_weight_arrives(kind, suffix, tmp_path, convert):
    model = changed(MODELS_OF_RELEASE[kind])
    state = random_state(model)
    code, out, err = convert(model, released(state), suffix=suffix)
    assert code == 0, err
    written = torch.load(tmp_path / 'ours.pth', weights_only=True)
    assert all(torch.equal(written['state_dict'][key], x) for key, x in state.items())
    MODELS.build(model).load_state_dict(written['state_dict'], strict=True)
    assert out[0].startswith(f'{len(state)} tensors of ')
    assert 'backbone.style=caffe' in out[1]


def test_dictionary_may_be_a_file_of_its_own(tmp_path, convert):
    model = changed(MEINST_MODEL)
    state = random_state(model)
    theirs = {k: x for k, x in released(state).items() if 'mask_encoding' not in k}
    assert len(theirs) == len(released(state)) - 3
    code, _, err = convert(model, theirs)
    assert code == 2
    assert any('mask_head.masks.codec' in line for line in err)

    file = tmp_path / 'components.npz'
    Dictionary(torch.rand(1, 9, 16), torch.rand(1, 16), 1 + torch.rand(1, 9), torch.rand(1, 9)).write(file)
    code, _, err = convert(model, theirs, '--dictionary', file)
    assert code == 2, 'nine components do not fit six'
    fitting = Dictionary.read(file).first(6)
    fitting.write(file)
    code, _, err = convert(model, theirs, '--dictionary', file)
    assert code == 0, err
    written = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    assert torch.equal(written['mask_head.masks.codec.components'], fitting.components[0])
    assert torch.equal(written['mask_head.masks.codec.mean'], fitting.mean[0])
    assert torch.equal(written['mask_head.masks.codec.explained_variance'], fitting.explained_variance[0])

    code, _, err = convert(model, released(state), '--dictionary', file)
    assert code == 2
    assert 'has its own' in err[-1]
    code, _, err = convert(model, theirs, '--dictionary', tmp_path / 'nowhere.npz')
    assert code == 2
    assert 'no such file' in err[-1]
    file.write_bytes(b'no zip')
    code, _, err = convert(model, theirs, '--dictionary', file)
    assert code == 2
    assert 'no .npz of arrays' in err[-1]


ONE_CONV = {'mask_head.boxes.class_tower.num_convs': 1, 'mask_head.boxes.box_tower.num_convs': 1}
ONE_CONV_MEINST = MEINST_MODEL | {key: tower(1) for key in MEINST_MODEL if key.endswith('_tower') or 'cients' in key}


@pytest.mark.parametrize(
    'case, prefix, changes, part',
    [
        ('blendmask/blendmask_heads_e2e', '', ONE_CONV, ('mask_head.boxes', 'mask_head.coefficients')),
        ('blendmask/basis_3convs_sem', 'basis_module.', {}, ('mask_head.masks', 'mask_head.semantic')),
        ('meinst/meinst_head_e2e', '', ONE_CONV_MEINST, 'mask_head'),
    ],
)
def test_names_in_the_reference_cases(case, prefix, changes, part, shared):
    tensors = torch.load(shared / f'golden/{case}.pt', weights_only=True)
    theirs = {prefix + key.removeprefix('sd.'): x for key, x in tensors.items() if key.startswith('sd.')}
    own = MODELS.build(changed(changes)).state_dict()
    assert adelaidet_to_mmagg(theirs).keys() == {key for key in own if key.startswith(part)}


HEAD = 'mask_head.boxes.'
# What the checkpoint has instead, and the lines that say so.
DIFFERENCES = {
    'classes': (
        {HEAD + 'num_classes': 5, 'mask_head.semantic.num_classes': 5},
        [
            'weights of mask_head.boxes.conv_cls: 2 of another shape (mask_head.boxes.conv_cls.weight is (5, 32, 3, 3) '
            'there and (3, 32, 3, 3) here, mask_head.boxes.conv_cls.bias is (5,) there and (3,) here): see '
            'model.mask_head.boxes.num_classes',
            'model.mask_head.semantic.{num_classes,channels}',
        ],
    ),
    'depth of a tower': (
        {HEAD + 'class_tower.num_convs': 3},
        [
            'weights of mask_head.boxes.class_tower: 4 unknown to the model ('
            'mask_head.boxes.class_tower.2.conv.weight, '
            'mask_head.boxes.class_tower.2.conv.bias, mask_head.boxes.class_tower.2.gn.weight, …): see '
            'model.mask_head.boxes.class_tower.{num_convs,num_levels,dcn_cfg}'
        ],
    ),
    'K': (
        {'mask_head.masks.basis.num_bases': 2},
        [
            '(98, 32, 3, 3) there and (196, 32, 3, 3) here',
            'model.mask_head.masks.basis.{type,levels,num_convs,channels,num_bases}',
        ],
    ),
    'M': ({'mask_head.masks.attention_size': 14}, ['see model.mask_head.masks.{basis.num_bases,attention_size,codec}']),
    'levels': (
        {key: x for key, x in REAL_TIME.items() if not key.endswith(('_tower', 'basis.num_convs'))},
        ['weights of neck: 4 missing (neck.fpn_convs.3.conv.weight, '],
    ),
    'levels of a tower': (
        {'mask_head.boxes.class_tower': dict(_delete_=True, num_convs=2, num_levels=5)},
        ['see model.mask_head.boxes.class_tower.{num_convs,num_levels,dcn_cfg}'],
    ),
    'deformable blocks': (DCN_INTERVAL, ['see model.backbone.{type,depth,dcn,stage_with_dcn,dcn_interval}']),
    'no semantic head': ({'mask_head.semantic': None}, ['weights of mask_head.semantic: 12 missing (']),
}


@pytest.mark.parametrize('what', DIFFERENCES)
def test_a_difference_is_named_with_its_option(what, tmp_path, convert):
    changes, lines = DIFFERENCES[what]
    code, _, err = convert(BLENDMASK, released(random_state(changed(changes))))
    assert (code, len(err)) == (2, len(lines)), err
    for text, line in zip(lines, err, strict=True):
        assert text in line
    assert not (tmp_path / 'ours.pth').exists()


def test_another_normalisation_is_named_and_its_option_helps(tmp_path, convert):
    theirs = released(random_state(BLENDMASK)) | {'pixel_std': torch.tensor([57.375, 57.12, 58.395]).view(3, 1, 1)}
    option = 'model.data_preprocessor.std=[57.375,57.12,58.395]'
    code, _, err = convert(BLENDMASK, theirs)
    assert (code, len(err)) == (2, 1)
    assert err[0].endswith(f"add --cfg-options '{option}'")
    assert not (tmp_path / 'ours.pth').exists()
    code, out, err = convert(BLENDMASK, theirs, '--cfg-options', option)
    assert (code, err) == (0, [])
    assert option in out[-1]


def test_unknown_names_are_refused(tmp_path, convert):
    state = random_state(BLENDMASK)
    code, _, err = convert(BLENDMASK, released(state) | {'sem_seg_head.predictor.bias': torch.ones(1)})
    assert (code, err) == (2, ['error: weights of other names: 1 unknown to the model (sem_seg_head.predictor.bias)'])
    code, _, err = convert(BLENDMASK, {'roi_heads.x': torch.ones(1)})
    assert (code, len(err)) == (2, 1)
    assert 'no head under the names that this converter knows' in err[0]
    assert not (tmp_path / 'ours.pth').exists()


def test_the_command_ends_in_one_line(root, tmp_path):
    command = [
        sys.executable,
        'tools/model_converters/adelaidet_to_mmagg.py',
        tmp_path / 'none.pkl',
        tmp_path / 'x.pth',
    ]
    config = root / 'configs/solo/solo_r50_fpn_1x_coco.py'
    done = subprocess.run([*command, '--config', config], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert 'none.pkl: no such file' in done.stderr

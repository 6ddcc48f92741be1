"""The networks of PyTorch Image Models (`timm`) as backbones.

`timm` itself makes a network return feature maps (`features_only`). Here its levels are counted as those of other
backbones, are NCHW, can be frozen, and get their weights when a training begins.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmagg.io.errors import InputError, one_line

STRIDES = (4, 8, 16, 32)  # of the levels 0 to 3
# Arguments by which a network that is made for images of one size takes others.
SIZES = {'img_size', 'strict_img_size', 'dynamic_img_size'}


@MODELS.register_module()
class TimmFeatures(BaseModule):
    """A network of `timm` as a backbone, of whose levels those at strides 4, 8, 16 and 32 are levels 0 to 3.

    A checkpoint file (`init_cfg` of type Pretrained) may have `timm`'s names or ours. Images are normalised as the
    weights want them: `timm.get_pretrained_cfg(name)` has their mean and std, of values from 0 to 1.

    Args:
        name: as `timm.list_models()` has it, e.g. `'resnet18'`, or with the tag of weights: `'resnet18.a1_in1k'`.
        out_indices: which of the four levels are returned. What only later ones need is not built, as far as `timm`
            leaves it out.
        pretrained: when the weights are initialised, `timm` fetches its own, unless `init_cfg` says where others are.
        frozen_stages: -1 trains all; 0 freezes the stem, which is all before the part that ends with level 0; n freezes
            the parts up to the n-th level as well. Frozen parts stay in evaluation mode.
        norm_eval: batch norm uses its running statistics in training too, as small batches want.
        model_kwargs: further arguments of the network's constructor.
        init_cfg: see mmengine's `BaseModule`.

    Attributes:
        channels: of the returned levels: a neck's `in_channels`.
        strides: of the returned levels.

    Raises:
        InputError: `timm` cannot be imported or does not know the network, or the network lacks what is asked for.
        ValueError: `out_indices` or `frozen_stages` names a level that there is not.
    """

    def __init__(
        self,
        *,
        name: str,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        pretrained: bool = False,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        model_kwargs: dict[str, Any] | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not out_indices or not set(out_indices) <= set(range(len(STRIDES))):
            raise ValueError(f'out_indices are {tuple(out_indices)}; there are the levels 0 to {len(STRIDES) - 1}')
        if not -1 <= frozen_stages <= max(out_indices) + 1:
            raise ValueError(f'frozen_stages is {frozen_stages}; it must be from -1 to {max(out_indices) + 1}')
        self.name, self.pretrained, self.norm_eval = name, pretrained, norm_eval
        self.strides = tuple(STRIDES[i] for i in sorted(out_indices))
        self.arguments = dict(model_kwargs or {})
        _require_network(name)
        with torch.device('meta'):  # costs nothing, and says which levels there are
            info = self._network().feature_info
        at = dict(zip(info.reduction(), info.out_indices, strict=True))
        if not at.keys() >= set(self.strides):
            has, wanted = (', '.join(map(str, strides)) for strides in (info.reduction(), self.strides))
            raise InputError(f'{name} of timm has levels at strides {has}; asked for are {wanted}')
        self.arguments['out_indices'] = tuple(at[stride] for stride in self.strides)
        net = self._network()
        self.channels = tuple(net.feature_info.channels())
        self.channels_are_last = getattr(net, 'output_fmt', None) == 'NHWC'
        self.net: nn.Module = net
        ends = [info.module_name(at[stride]) for stride in STRIDES if stride in at]
        self.frozen = self._frozen_parts(ends, frozen_stages) if frozen_stages >= 0 else ()
        for part in self.frozen:
            self.net.get_submodule(part).requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) normalised images → one (B, C_l, H / s_l, W / s_l) map for each level of `out_indices`."""
        levels = self.net(images)
        if self.channels_are_last:
            levels = [level.permute(0, 3, 1, 2).contiguous() for level in levels]
        return tuple(levels)

    def train(self, mode: bool = True) -> 'TimmFeatures':
        """Training mode, except of frozen parts and, with `norm_eval`, of all batch norms."""
        super().train(mode)
        for part in self.frozen:
            self.net.get_submodule(part).eval()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def init_weights(self) -> None:
        """Weights of `init_cfg`; else `timm`'s own if `pretrained`.

        Raises:
            InputError: `timm` has none, or cannot fetch them.
        """
        first = not self._is_init
        super().init_weights()
        if self.pretrained and first and not self.init_cfg:
            try:
                self.net.load_state_dict(self._network(pretrained=True).state_dict())
            except (ImportError, OSError, RuntimeError, ValueError) as error:
                raise InputError(f"timm's weights of {self.name} cannot be had: {one_line(error)}") from error

    def _network(self, *, pretrained: bool = False) -> Any:
        net = _timm().create_model(self.name, features_only=True, pretrained=pretrained, **self.arguments)
        if net.pretrained_cfg.get('fixed_input_size') and not SIZES & self.arguments.keys():
            _, height, width = net.pretrained_cfg['input_size']
            raise InputError(
                f'{self.name} of timm takes images of {height} × {width} pixels alone; '
                'model_kwargs=dict(strict_img_size=False) lets Swin take others, dict(img_size=…) sets the size of any'
            )
        return net

    def _frozen_parts(self, ends: list[str], number: int) -> tuple[str, ...]:
        """The names of the parts before level 0, or, for a number above 0, up to the level of this number.

        Args:
            ends: of each level, `timm`'s name of the part that ends with it.
        """
        parts = _parts(self.net)
        levels = [[i for i, part in enumerate(parts) if _is_in(part, end)] for end in ends[: max(number, 1)]]
        if len(levels) < number or not all(levels):
            raise InputError(
                f'frozen_stages is {number}, but the parts of {self.name} of timm are not one after the other'
            )
        return tuple(parts[: levels[0][0] if number == 0 else levels[-1][-1] + 1])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        ours = self.net.state_dict().keys()
        for key in [key for key in state_dict if key.startswith(prefix)]:
            name = key[len(prefix) :]
            # A network of features has lists taken apart (stages.0 is stages_0), or the whole network inside.
            for known in (name, name.replace('.', '_', 1), f'model.{name}', f'body.{name}'):
                if known in ours:
                    state_dict[f'{prefix}net.{known}'] = state_dict.pop(key)
                    break
        super()._load_from_state_dict(state_dict, prefix, *args)


def _timm() -> ModuleType:
    try:
        import timm
    except (ImportError, RuntimeError) as error:  # RuntimeError: of a torchvision that is for another torch
        # Without a version of torch, pip would bring the newest, for which mmcv's operators are not compiled.
        command = f"pip install timm 'torch=={torch.__version__}'"
        raise InputError(f'TimmFeatures: timm cannot be imported ({one_line(error)}): {command}') from error
    return timm


def _require_network(name: str) -> None:
    known = _timm().list_models()
    if name.partition('.')[0] not in known:
        near = get_close_matches(name, known)
        raise InputError(f'{name}: timm has no such network' + (f'; did you mean {" or ".join(near)}?' if near else ''))


def _parts(net: nn.Module) -> list[str]:
    """The parts of a network in the order of use: its modules, and those of its lists of modules."""
    prefix, children = '', dict(net.named_children())
    if len(children) == 1:  # the whole network, as `model` or `body`
        ((outer, inner),) = children.items()
        prefix, children = f'{outer}.', dict(inner.named_children())
    parts = []
    for name, child in children.items():
        inside = [i for i, _ in child.named_children()] if isinstance(child, nn.Sequential | nn.ModuleList) else []
        parts += [f'{prefix}{name}.{i}' for i in inside] or [f'{prefix}{name}']
    return parts


def _is_in(part: str, end: str) -> bool:
    """Whether a part is the one that `timm` calls so, or belongs to it."""
    plain = f'{part.removeprefix("model.").removeprefix("body.")}.'
    return plain.startswith((f'{end}.', f'{end.replace(".", "_", 1)}.'))

"""Small MEInst heads, with a codec that needs no dictionary and can tell what it is asked for."""

import torch
from boxed_heads import TOWER, boxed_head
from grid_heads import CHANNELS, CLASSES
from mmdet.registry import MODELS
from torch import Tensor, nn

SIZE, CODES = 14, 9
DCN = TOWER | dict(num_convs=2, dcn_cfg=dict(type='DCN'), dcn_layers='last')
CODED = dict(type='CodedMasks', codec=dict(type='RotatedCodec'))
OWN_TOWER = dict(in_channels=CHANNELS, tower=TOWER)
KINDS = {
    'codes': {},
    'cosine': dict(masks=CODED | dict(loss='cosine')),
    'implicit': dict(masks=CODED | dict(loss='implicit')),
    'direct': dict(masks=dict(type='CodedMasks', codec=None, mask_size=SIZE, loss='implicit')),
    'large kernel': dict(coefficients=OWN_TOWER | dict(large_kernel=5)),
    'deformable': dict(boxes=dict(class_tower=DCN, box_tower=DCN), coefficients=OWN_TOWER | dict(tower=DCN)),
    'atss': dict(boxes=dict(assigner=dict(type='ATSSLocationAssigner'))),
}


@MODELS.register_module(force=True)
class RotatedCodec(nn.Module):
    """Codes on orthonormal directions, with a sign for each class.

    Args:
        noise: scale of what every encoding adds.
    """

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        self.mask_size, self.num_codes, self.noise = SIZE, CODES, noise
        generator = torch.Generator().manual_seed(5)
        basis = torch.linalg.qr(torch.randn(SIZE**2, CODES, generator=generator)).Q.t()
        self.register_buffer('basis', basis)  # (D, m²)
        self.register_buffer('sign', torch.tensor([1.0, -1.0]).repeat(CLASSES))
        self.encoded = []  # how many masks at each call

    def encode(self, masks: Tensor, labels: Tensor) -> Tensor:
        self.encoded.append(len(masks))
        codes = (masks.flatten(1).to(self.basis) - 0.5) @ self.basis.t() * self.sign[labels][:, None]
        return codes + self.noise * torch.randn_like(codes)

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        flat = codes.to(self.basis) * self.sign[labels][:, None] @ self.basis
        return flat.unflatten(1, (SIZE, SIZE))


def dct_mask_head():
    """A head with DCT-Mask's codes, whose masks fill a part of their boxes."""
    codec = dict(type='DCTMaskCodec', mask_size=128, num_codes=300, whiten=False, sigmoid='none')
    head = coded_head('codes', masks=dict(type='CodedMasks', codec=codec, loss='l1'))
    nn.init.normal_(head.coefficients.conv.weight, std=1)
    nn.init.constant_(head.coefficients.conv.bias[:1], 64)
    return head


def coded_head(kind: str, **options):
    """A head of this kind; `options` replace its arguments."""
    given = KINDS[kind] | options
    boxes = dict(use_scale=True) | given.get('boxes', {})
    head = boxed_head('blend', **dict(masks=CODED, coefficients=OWN_TOWER, semantic=None) | given | dict(boxes=boxes))
    head.post_process.filter_by = 'class'
    return head

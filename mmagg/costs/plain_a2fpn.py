"""A2-FPN's equations as the paper writes them, with the weights of our layers.

The layers compute the same in cheaper ways. They are tested against these forms, and compared with them in time and
memory; the paper's convention counts these forms.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmagg.costs.reassembly import Form, unfolded_down, unfolded_up
from mmagg.models.layers import GACAP, GACARAFE, MultiLevelGlobalContext, normalised
from mmagg.models.layers.global_context import ContextGCN
from mmagg.ops import reassemble_down, reassemble_up


def compatibility(queries: Tensor, keys: Tensor, *, dim: int, norm_query: bool = False) -> Tensor:
    """A2-FPN, Eq. 3: (B, c, M), (B, c, N) -> (B, N, M), a softmax over `dim` of √c times the cosines."""
    queries = normalised(queries, 1) if norm_query else queries
    return (queries.shape[1] ** 0.5 * normalised(keys, 1).transpose(1, 2) @ queries).softmax(dim=dim)


def collect(mgc: MultiLevelGlobalContext, level: int, x: Tensor) -> Tensor:
    """A2-FPN, Eq. 1: (B, c_i, H, W) -> (B, c, n_i)."""
    logits = x.shape[1] ** 0.5 * mgc.entities[level](normalised(x, 1))
    weights = logits.flatten(2).softmax(dim=2)
    return mgc.embed[level](x).flatten(2) @ weights.transpose(1, 2)


def graph_convolution(gcn: ContextGCN, contexts: Tensor) -> Tensor:
    """A2-FPN, Eq. 4: (B, c, n) -> (B, c, n)."""
    weights = compatibility(gcn.query(contexts), gcn.key(contexts), dim=1, norm_query=gcn.norm_query)
    return gcn.value(contexts) @ weights + contexts


def global_context(mgc: MultiLevelGlobalContext, feats: Sequence[Tensor]) -> list[Tensor]:
    """A2-FPN, Eqs. 1 to 6: levels (B, c_i, H, W) -> levels (B, C, H, W)."""
    contexts = [collect(mgc, i, x) for i, x in enumerate(feats)]
    if mgc.level_gcns is not None:
        gcns: list[Any] = [*mgc.level_gcns]
        contexts = [graph_convolution(gcn, x) for gcn, x in zip(gcns, contexts, strict=True)]
    joint = torch.cat(contexts, dim=2)
    if mgc.joint_gcn is not None:
        joint = graph_convolution(mgc.joint_gcn, joint)
    levels = []
    for i, x in enumerate(feats):
        queries = mgc.query[i](x).flatten(2)
        distributed = joint @ compatibility(queries, joint, dim=1, norm_query=mgc.norm_query)
        levels.append(mgc.out[i](distributed.view(*queries.shape[:2], *x.shape[2:])) + mgc.lateral[i](x))
    return levels


def reweighted(fusion: GACARAFE | GACAP, pair: Tensor) -> tuple[Tensor, Tensor]:
    """A2-FPN, Eq. 9: the joined pair (B, 2 C, h, w) -> weights (B, C, 1, 1) of the coarse map and of the fine one."""
    mask = fusion.encoder.mask(pair).flatten(2).softmax(dim=2)
    return fusion.gate((pair.flatten(2) @ mask.transpose(1, 2))[..., None])


def gacarafe(fusion: GACARAFE, coarse: Tensor, fine: Tensor, *joined: Tensor, up: Form = reassemble_up) -> Tensor:
    """A2-FPN, Eqs. 7 to 10, of separate weights also where they are `joined`."""
    pair = torch.cat([coarse, F.max_pool2d(fine, 2, ceil_mode=True)], dim=1)
    kernels = fusion.predictor(fusion.encoder.reduce(pair))
    large = up(coarse, kernels)[:, :, : fine.shape[2], : fine.shape[3]]
    weights = reweighted(fusion, pair)
    return weights[0] * large + weights[1] * fine


def gacap(fusion: GACAP, coarse: Tensor, fine: Tensor, *joined: Tensor, down: Form = reassemble_down) -> Tensor:
    """A2-FPN, Eqs. 9 and 11 to 13; `joined` as of `gacarafe`."""
    pair = torch.cat([fine, F.interpolate(coarse, size=fine.shape[2:], mode='bilinear', align_corners=False)], dim=1)
    small = down(fine, fusion.predictor(fusion.encoder.reduce(pair)))
    weights = reweighted(fusion, pair)
    return weights[0] * coarse + weights[1] * small


PLAIN: dict[type[nn.Module], Callable[..., Any]] = {
    MultiLevelGlobalContext: global_context,
    GACARAFE: gacarafe,
    GACAP: gacap,
}
UNFOLDED = PLAIN | {GACARAFE: partial(gacarafe, up=unfolded_up), GACAP: partial(gacap, down=unfolded_down)}


def plainly(model: nn.Module, *, unfold: bool = False) -> nn.Module:
    """A copy of a model whose layers of A2-FPN compute the plain forms; `unfold`: those of the reassembly as well."""
    model, forms = copy.deepcopy(model), UNFOLDED if unfold else PLAIN
    for module in model.modules():
        if type(module) in forms:
            module.forward = partial(forms[type(module)], module)
    return model

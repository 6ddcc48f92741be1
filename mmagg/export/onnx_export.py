"""From a function of an image to an ONNX file.

Opset 18: the first whose Resize is PyTorch's in all modes that are used. ONNX Runtime knows it since 1.14; TensorRT 8.6
ends at 17, TensorRT 10.15 at 24, by their documentation. Deformable convolutions are of opset 19.
"""

import logging
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmagg.export.preprocessing import preprocessing

OPSET, DEFORMABLE_OPSET = 18, 19
# Traced with images, and sides in multiples of the divisor, that are all different: equal ones are taken for the same.
EXAMPLE = (2, 7, 11)


def onnx_model(
    graph: Any,
    *,
    batch: int | None,
    shape: tuple[int, int] | None,
    divisor: int,
    normalisation: Mapping[str, Any],
    uint8: bool = True,
    metadata: Mapping[str, str],
) -> Any:
    """An ONNX model from `image` (B, 3, H, W) to the graph's outputs.

    Where boxes are clipped to the image before their masks are there, an input of one shape has `img_shape` beside it,
    (B, 2) height and width of the image at its top left.

    Args:
        graph: module of (B, 3, H, W) normalised, padded images, with the names of its `outputs`.
        batch: B; None: any.
        shape: H and W; None: any.
        divisor: what height and width are padded to a multiple of.
        normalisation: `mean`, `std` and `rgb`, see `preprocessing`.
        uint8: type of the image, else float32.
        metadata: written into the file.
    """
    import onnx

    opset = DEFORMABLE_OPSET if deformable(graph) else OPSET
    parts = EXAMPLE[1:] if shape is None else [-(-side // divisor) for side in shape]
    sides = [divisor * part for part in parts]
    example = torch.zeros(EXAMPLE[0] if batch is None else batch, 3, *sides)
    dims: dict[int, Any] = {}
    if batch is None:
        dims[0] = torch.export.Dim('batch', min=1, max=1024)
    if shape is None:
        # A multiple of 32 is all that the halvings of a pyramid need to be exact: with any size, the sizes of its
        # levels are terms of roundings, which take the exporter minutes to compare.
        dims |= {2: divisor * torch.export.Dim('rows', max=1024), 3: divisor * torch.export.Dim('columns', max=1024)}
    inputs: list[Tensor] = [example]
    shapes = [dims]
    limits = None
    if 'limits' in graph.inputs:
        # In an input of any size there is nothing beside the image.
        limits = 'image' if shape is None else 'img_shape'
        inputs.append(example.new_zeros(len(example) if limits == 'img_shape' else 1, 4))
        shapes.append({0: dims[0]} if limits == 'img_shape' and batch is None else {})
    with quiet():
        program = torch.onnx.export(
            graph,
            tuple(inputs),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=opset,
            dynamo=True,
            dynamic_shapes=tuple(shapes) if dims else None,
            custom_translation_table=translations(opset),
            external_data=False,
            verbose=False,
        )
    assert program is not None  # as it is of `dynamo=True`
    network = program.model_proto
    names = [batch or 'batch', *(shape or ('height', 'width'))]
    before = preprocessing(
        **normalisation,
        divisor=divisor,
        uint8=uint8,
        opset=opset,
        ir_version=network.ir_version,
        sizes=names,
        limits=limits,
    )
    whole = onnx.compose.merge_models(before, network, io_map=[(name, name) for name in graph.inputs])
    whole.producer_name = 'mmagg'
    del whole.opset_import[:]  # one of each part: ONNX Runtime's tools refuse two
    whole.opset_import.append(onnx.helper.make_opsetid('', opset))
    del whole.metadata_props[:]
    onnx.helper.set_model_props(whole, dict(metadata))
    onnx.checker.check_model(whole)
    return whole


def without_source(model: Any) -> Any:
    """The model without what the exporter notes of each part: lines of this package, by their paths on a machine."""
    graphs = [model.graph]
    for graph in graphs:  # which grows by the branches of its nodes
        for part in (graph, *graph.node, *graph.value_info, *graph.initializer):
            del part.metadata_props[:]
            part.doc_string = ''
        graphs += [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField('g')]
    return model


def deformable(graph: nn.Module) -> bool:
    """True if the graph has deformable convolutions."""
    from mmagg.export.plain_modules import PlainDeformConv, PlainModulatedDeformConv

    return any(isinstance(x, PlainDeformConv | PlainModulatedDeformConv) for x in graph.modules())


def translations(opset: int) -> dict[Any, Any]:
    """ONNX's forms of the operators of `plain_ops`."""
    import onnxscript

    op = getattr(onnxscript, f'opset{opset}')

    def roi_align(maps: Any, rois: Any, size: int, scale: float, aligned: bool) -> Any:
        images = op.Cast(op.Squeeze(op.Slice(rois, [0], [1], [1]), [1]), to=onnxscript.INT64.dtype)
        return op.RoiAlign(
            maps,
            op.Slice(rois, [1], [5], [1]),
            images,
            coordinate_transformation_mode='half_pixel' if aligned else 'output_half_pixel',
            mode='avg',
            output_height=size,
            output_width=size,
            sampling_ratio=1,
            spatial_scale=scale,
        )

    def nms(boxes: Any, scores: Any, iou_thr: float) -> Any:
        most = op.Gather(op.Shape(boxes), [1])
        found = op.NonMaxSuppression(boxes, scores, most, [iou_thr], [0.0])  # of each: image, class, place
        ones = op.Expand([1.0], op.Slice(op.Shape(found), [0], [1]))
        none = op.Mul(op.ReduceMax(scores, [1], keepdims=0), [0.0])
        return op.ScatterND(none, op.Gather(found, [0, 2], axis=1), ones)

    def deform_conv(x: Any, offset: Any, mask: Any, weight: Any, bias: Any, numbers: Any) -> Any:
        stride, padding, dilation, groups, offset_groups = numbers
        return op.DeformConv(
            x,
            weight,
            offset,
            bias,
            mask,
            strides=[stride] * 2,
            pads=[padding] * 4,
            dilations=[dilation] * 2,
            group=groups,
            offset_group=offset_groups,
        )

    own = torch.ops.mmagg_export
    return {own.roi_align.default: roi_align, own.nms.default: nms, own.deform_conv.default: deform_conv}


@contextmanager
def quiet() -> Any:
    """Within the block, the exporter's remarks on its own parts are not printed."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'onnxscript')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

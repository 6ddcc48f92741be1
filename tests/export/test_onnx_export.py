"""Exported files in ONNX Runtime against the graphs in PyTorch, at several sizes and numbers of images."""

import logging
from functools import partial

import numpy as np
import pytest
import torch
from boxed_heads import boxed_head
from coded_heads import coded_head, dct_mask_head
from exported_heads import boxed_detector, grid_detector
from grid_heads import CHANNELS, aggmask_head, mmagg_head
from mmdet.registry import MODELS

from mmagg.export.graphs import graph_of, images_at_once
from mmagg.export.int8 import quantised
from mmagg.export.onnx_export import onnx_model, quiet
from mmagg.io.errors import InputError

onnx = pytest.importorskip('onnx', reason="pip install 'mmagg[onnx]' to run the exported files")
pytest.importorskip('onnxscript', reason="pip install 'mmagg[onnx]' to run the exported files")
onnxruntime = pytest.importorskip('onnxruntime', reason="pip install 'mmagg[onnx]' to run the exported files")

NORMALISATION = dict(mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4], rgb=True)


def a2fpn(top_down='GACARAFE', **options):
    """A2-FPN over three levels, with a level that halves an odd size."""
    torch.manual_seed(4)
    neck = MODELS.build(
        dict(
            type='A2FPN', in_channels=[CHANNELS] * 3, out_channels=CHANNELS, num_outs=4,
            lateral=dict(type='MultiLevelGlobalContext', channels=8, num_contexts=[8, 6, 4]),
            top_down=dict(type=top_down, **options or dict(reduced_channels=8, gate_channels=8)),
            bottom_up=dict(type='GACAP', reduced_channels=8, gate_channels=8),
        )
    )  # fmt: skip
    neck.init_weights()
    return neck.eval()


def with_a2fpn(*top_down, **options):
    detector = boxed_detector(boxed_head('blend'))
    detector.neck = a2fpn(*top_down, **options)
    return detector


def with_dysample():
    detector = with_a2fpn('DySampleFusion', channels=CHANNELS, groups=2)
    for name, parameter in detector.neck.named_parameters():
        if 'upsample' in name:  # at first it is bilinear interpolation
            torch.nn.init.normal_(parameter)
    return detector


def without_context():
    parameters = dict(type='DynamicParameters', in_channels=CHANNELS, channels=CHANNELS)
    aggregator = dict(type='DynamicAggregator', context=None, parameters=parameters, num_layers=2)
    return mmagg_head('solo', aggregator=aggregator)


DCT_MASK = 'MEInst, DCT-Mask'
DETECTORS = {
    'SOLO': lambda: grid_detector(mmagg_head('solo')),
    'Decoupled SOLO': lambda: grid_detector(mmagg_head('decoupled')),
    'SOLOv2': lambda: grid_detector(mmagg_head('solov2')),
    'AggMask': lambda: grid_detector(aggmask_head('solo')),
    'AggMask, static': lambda: grid_detector(aggmask_head('static')),
    'AggMask, coarse masks': lambda: grid_detector(aggmask_head('solo-mask')),
    'AggMask on Decoupled SOLO': lambda: grid_detector(aggmask_head('decoupled')),
    'SODAR': lambda: grid_detector(aggmask_head('sodar')),
    'AggMask on SOLOv2': lambda: grid_detector(aggmask_head('solov2')),
    'AggMask without context': lambda: grid_detector(without_context()),
    'BlendMask': lambda: boxed_detector(boxed_head('blend')),
    'MEInst': lambda: boxed_detector(coded_head('codes')),
    DCT_MASK: lambda: boxed_detector(dct_mask_head()),
    'deformable': lambda: boxed_detector(coded_head('deformable')),
    'A2-FPN': with_a2fpn,
    'DySample': with_dysample,
}


def exported(graph, **options):
    """A session of the file, as bytes."""
    content = onnx_model(
        graph,
        **dict(batch=images_at_once(graph), shape=None, divisor=32, normalisation=NORMALISATION, metadata={'a': 'b'})
        | options,
    )
    assert {node.domain for node in content.graph.node} == {''}, 'there are operators of other domains than ONNX'
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content.SerializeToString(), settings, providers=['CPUExecutionProvider'])


def normalised(image: np.ndarray) -> torch.Tensor:
    """(B, 3, H, W) uint8 BGR as mmdet's preprocessor has it, padded to multiples of 32."""
    from mmdet.models import DetDataPreprocessor

    given = DetDataPreprocessor(
        mean=NORMALISATION['mean'], std=NORMALISATION['std'], bgr_to_rgb=True, pad_size_divisor=32
    )
    return given(dict(inputs=[torch.from_numpy(one) for one in image]))['inputs']


def check(session, graph, image: np.ndarray, limits: np.ndarray | None = None, *, clamped: bool = False) -> None:
    """The outputs of a session and of the graph are those of one another.

    With `clamped`, masks are compared as probabilities: the logit of one near 0.0001 is 10,000 times as far off.
    """
    height, width = image.shape[2:]
    feeds = {'image': image}
    sides = torch.tensor([[width, height] * 2]).float()
    if limits is not None:
        feeds['img_shape'] = limits
        sides = torch.from_numpy(limits[:, [1, 0, 1, 0]]).float()
    with torch.no_grad():
        wanted = graph(normalised(image), *([sides] if 'limits' in graph.inputs else []))
    found = session.run(None, feeds)
    assert [output.name for output in session.get_outputs()] == list(graph.outputs)
    # What stands in places without a candidate is nobody's.
    there = dict(zip(graph.outputs, wanted, strict=True)).get('scores', torch.ones(1)).numpy() > 0
    assert there.any()
    for name, a, b in zip(graph.outputs, found, wanted, strict=True):
        if 'scores' in graph.outputs:
            a, b = a[there], b[torch.from_numpy(there)]
        if clamped and name == 'masks':
            a, b = torch.from_numpy(a).sigmoid().numpy(), b.sigmoid()
        np.testing.assert_allclose(a, b.numpy(), atol=2e-3 if name == 'boxes' else 3e-4, rtol=1e-4, err_msg=name)


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (shape[0], 3, *shape[1:]), dtype=np.uint8)


def some(*quick):
    """All detectors, of which only these are quick: most take ten seconds to a minute."""
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in DETECTORS]


@pytest.mark.parametrize('name', some('MEInst'))
def test_any_size(name):
    graph = graph_of(DETECTORS[name](), candidates=70)  # two chunks
    session = exported(graph)
    at_once = images_at_once(graph) or 4
    assert at_once == (1 if name.startswith(('AggMask', 'SODAR')) else 4)
    for shape in ((1, 96, 128), (at_once, 65, 157), (1, 160, 64), (1, 20, 30)):
        check(session, graph, images(*shape), clamped=name == DCT_MASK)


@pytest.mark.slow
def test_any_multiple_of_64():
    graph = graph_of(DETECTORS['MEInst'](), candidates=70)
    session = exported(graph, divisor=64)
    for shape in ((1, 128, 64), (2, 64, 192)):
        check(session, graph, images(*shape))


@pytest.mark.parametrize('name', some('SOLO', 'BlendMask', 'deformable'))
def test_one_size(name):
    graph = graph_of(DETECTORS[name](), candidates=20)
    session = exported(graph, shape=(100, 130), batch=2)
    assert session.get_inputs()[0].shape == [2, 3, 100, 130]
    limits = np.array([[100, 90], [70, 130]]) if 'limits' in graph.inputs else None
    check(session, graph, images(2, 100, 130), limits, clamped=name == DCT_MASK)


def test_float_images_and_metadata():
    graph = graph_of(DETECTORS['MEInst'](), candidates=5)
    session = exported(graph, shape=(64, 64), batch=1, uint8=False)
    assert session.get_inputs()[0].type == 'tensor(float)'
    assert session.get_modelmeta().custom_metadata_map == {'a': 'b'}
    byte = exported(graph, shape=(64, 64), batch=1)
    image, sizes = images(1, 64, 64), np.array([[64, 64]])
    as_float = session.run(None, {'image': image.astype(np.float32), 'img_shape': sizes})
    for a, b in zip(as_float, byte.run(None, {'image': image, 'img_shape': sizes}), strict=True):
        assert np.array_equal(a, b)


def test_the_exporters_remarks_are_not_printed():
    names = 'torch.onnx', 'onnxscript.optimizer._constant_folding'
    with quiet():
        assert not any(logging.getLogger(name).isEnabledFor(logging.WARNING) for name in names)
    assert all(logging.getLogger(name).isEnabledFor(logging.WARNING) for name in names)


@pytest.mark.slow
def test_openvino_takes_an_aggmask_in_int8(tmp_path):
    openvino = pytest.importorskip('openvino', reason="pip install 'mmagg[openvino]' to run the exported files")
    graph, image = graph_of(DETECTORS['AggMask'](), candidates=20), images(1, 96, 128)
    content = onnx_model(graph, batch=1, shape=(96, 128), divisor=32, normalisation=NORMALISATION, metadata={})
    onnx.save(quantised(content, [{'image': image}]), file := tmp_path / 'int8.onnx')
    model = openvino.Core().compile_model(str(file), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    scores, labels, _, masks = model({'image': image}).to_tuple()
    session = onnxruntime.InferenceSession(str(file), providers=['CPUExecutionProvider'])
    wanted = session.run(None, {'image': image})
    np.testing.assert_allclose(scores, wanted[0], atol=0.02)
    assert (same := labels == wanted[1]).mean() > 0.8
    assert np.abs(masks - wanted[3])[same].mean() < 0.05


@pytest.mark.slow
def test_the_pyramid_alone():
    graph = graph_of(with_neck(), part='neck')
    assert graph.outputs == ('level_0', 'level_1', 'level_2', 'level_3')
    check(exported(graph, shape=(96, 160), batch=1), graph, images(1, 96, 160))


def with_neck():
    detector = with_a2fpn()
    detector.with_neck = True
    return detector


@pytest.mark.parametrize(
    ('make', 'options', 'words'),
    [
        (lambda: grid_detector(mmagg_head('solo')), dict(part='half'), 'part half: give one of all, neck'),
        (lambda: grid_detector(mmagg_head('solo')), dict(part='neck'), 'has no neck'),
        (lambda: grid_detector(torch.nn.Identity()), {}, '--part neck exports its backbone and neck'),
        (
            lambda: grid_detector(
                mmagg_head('solo', test_cfg=dict(voting=dict(type='MaskVoting', weight='score', iou_thr=0.5)))
            ),
            {},
            'mask voting is no part of an exported model',
        ),
    ],
)
def test_what_has_no_exported_form(make, options, words):
    with pytest.raises(InputError, match=words):
        partial(graph_of, **options)(make())

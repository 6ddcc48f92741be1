"""The cap of detections an image: where a config has it, and what is said of it."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmagg.apis.config import load_config
from mmagg.apis.tta import use_tta
from mmagg.engine.detection_cap import DetectionCap, DetectionCapHook, detection_cap


@pytest.mark.parametrize(
    'config, limit, key',
    [
        ('configs/demo/solo_tiny_shapes.py', 50, 'model.test_cfg.max_per_img'),
        ('configs/demo/blendmask_tiny_shapes.py', 50, 'model.test_cfg.max_per_img'),
        ('configs/demo/meinst_tiny_shapes.py', 50, 'model.test_cfg.max_per_img'),
        ('configs/demo/mask-rcnn-fpn_tiny_shapes.py', 50, 'model.test_cfg.rcnn.max_per_img'),
        ('mmdet::maskformer/maskformer_r50_ms-16xb1-75e_coco.py', 100, 'model.test_cfg.max_per_image'),
    ],
)
def test_the_key_raises_the_cap_of_the_config(root, config: str, limit: int, key: str) -> None:
    path = config if '::' in config else root / config
    cap = detection_cap(load_config(path))
    assert (cap.limit, cap.key) == (limit, key)
    assert detection_cap(load_config(path, {key: 321})).limit == 321


def test_with_augmentation_the_merged_views_have_a_cap(root) -> None:
    cfg = load_config(root / 'configs/demo/solo_tiny_shapes.py')
    use_tta(cfg)
    assert detection_cap(cfg) == DetectionCap(100, 'tta_model.max_per_img', {'model.test_cfg.max_per_img': 50})
    cfg = load_config(root / 'configs/demo/solo_tiny_shapes.py', {'tta_model.max_per_img': 60})
    use_tta(cfg)
    assert detection_cap(cfg).limit == 60
    theirs = dict(type='DetTTAModel', tta_cfg=dict(max_per_img=70), module=cfg.model.module)
    assert detection_cap(Config(dict(model=theirs))).key == 'tta_model.tta_cfg.max_per_img'


@pytest.mark.parametrize('test_cfg', [None, {}, {'max_per_img': -1}, {'rcnn': None, 'score_thr': 0.1}])
def test_no_cap(test_cfg: dict | None) -> None:
    assert detection_cap(Config(dict(model=dict(type='X', test_cfg=test_cfg)))) is None


class Shapes:
    """A data set of three images, with 3, 5 and 1 objects and many crowd regions."""

    def __len__(self) -> int:
        return 3

    def get_data_info(self, index: int) -> dict:
        return {'instances': [{'ignore_flag': 0}] * (3, 5, 1)[index] + [{'ignore_flag': 1}] * 9}


def said(cap: DetectionCap, numbers: list[int], *, mode: str = 'test', epochs: int = 1, dataset: object = None) -> list:
    """What the hook says, of batches of one image with so many detections."""
    lines = []
    loader = SimpleNamespace(dataset=Shapes() if dataset is None else dataset)
    runner = SimpleNamespace(logger=SimpleNamespace(warning=lines.append), **{f'{mode}_dataloader': loader})
    hook = DetectionCapHook(cap)
    for _ in range(epochs):
        getattr(hook, f'before_{mode}_epoch')(runner)
        for index, number in enumerate(numbers):
            found = DetDataSample(pred_instances=InstanceData(scores=torch.zeros(number)))
            getattr(hook, f'after_{mode}_iter')(runner, index, None, [found])
        getattr(hook, f'after_{mode}_epoch')(runner)
    return lines


def test_what_is_said_before_and_after() -> None:
    cap = DetectionCap(3, 'a.max_per_img', {'a.rpn.max_per_img': 4, 'a.views': 5})
    before = (
        'images with more objects than the 3 detections that the model may return: 1 of 3, up to 5 objects; '
        '--cfg-options a.max_per_img=5 a.rpn.max_per_img=5 raises that'
    )
    after = 'the cap of 3 detections an image was reached in 2 of 4 images; --cfg-options a.max_per_img=N raises it'
    assert said(cap, [3, 0, 2, 3]) == [before, after]
    flag = 'the cap of 3 detections an image was reached in 1 of 2 images; --max-detections N raises it'
    before_flag = f'{before.partition("--")[0]}--max-detections 5 raises that'
    assert said(cap, [2, 3], mode='val', epochs=2) == [before_flag, flag, flag], 'of a training'
    assert said(cap, [2, 0]) == [before]
    assert said(cap._replace(limit=5), [4, 0]) == [], 'nothing is lost'
    assert said(cap, [2], dataset=[]) == [], 'a data set that does not tell'
    assert said(cap, [9], mode='train') == []

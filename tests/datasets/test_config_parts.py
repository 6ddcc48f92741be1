"""What is inside a config, and the classes that it names."""

from mmdet.datasets import CocoDataset
from mmengine.config import Config

from mmagg.datasets.config_parts import dicts, parts, type_name


def test_parts_have_their_dotted_keys() -> None:
    cfg = Config({'model': {'heads': [{'type': 'A'}, {'type': 'B', 'loss': {'type': 'C'}}]}, 'n': 1})
    assert [key for key, _ in parts(cfg)] == [
        '',
        'model',
        'model.heads',
        *('model.heads.0', 'model.heads.0.type'),
        *('model.heads.1', 'model.heads.1.type', 'model.heads.1.loss', 'model.heads.1.loss.type'),
        'n',
    ]
    assert [key for key, _ in dicts(cfg.model, 'model')] == [
        *('model', 'model.heads.0', 'model.heads.1', 'model.heads.1.loss')
    ]
    for _, part in dicts(cfg):
        part['seen'] = True  # they are the config's own
    assert cfg.model.heads[1].loss.seen
    assert list(dicts(None)) == []


def test_the_class_that_a_part_names() -> None:
    assert type_name({'type': 'mmdet.CocoDataset'}) == type_name({'type': CocoDataset}) == 'CocoDataset'
    assert type_name({}) == type_name(None) == ''

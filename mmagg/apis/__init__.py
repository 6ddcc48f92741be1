"""The Python interface: train and test a model, and use it.

    from mmagg.apis import Segmenter, test, train

    work_dir = train('configs/solo/solo_r50_fpn_1x_coco.py', coco='data/mine', seed=0)
    config, checkpoint = work_dir / 'solo_r50_fpn_1x_coco.py', work_dir / 'epoch_12.pth'
    metrics = test(config, checkpoint)
    segmenter = Segmenter(config, checkpoint)
    segmenter('street.jpg').save('found.png')

A name is imported when it is first used, because some modules of this room work where MMDetection is not installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what a type checker sees of them
    from mmagg.apis.checkpoint import load_checkpoint as load_checkpoint
    from mmagg.apis.config import load_config as load_config
    from mmagg.apis.exporting import export as export
    from mmagg.apis.inference import infer as infer
    from mmagg.apis.inference import load_model as load_model
    from mmagg.apis.prediction import predict_folder as predict_folder
    from mmagg.apis.result import Result as Result
    from mmagg.apis.segmenter import Segmenter as Segmenter
    from mmagg.apis.testing import test as test
    from mmagg.apis.tiles import predict_tiles as predict_tiles
    from mmagg.apis.training import train as train
    from mmagg.apis.work_dir import latest_checkpoint as latest_checkpoint

PLACES = {
    'Result': 'result',
    'Segmenter': 'segmenter',
    'export': 'exporting',
    'infer': 'inference',
    'latest_checkpoint': 'work_dir',
    'load_checkpoint': 'checkpoint',
    'load_config': 'config',
    'load_model': 'inference',
    'predict_folder': 'prediction',
    'predict_tiles': 'tiles',
    'test': 'testing',
    'train': 'training',
}
__all__ = [*PLACES]


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{PLACES[name]}'), name)


def __dir__() -> list[str]:
    return __all__

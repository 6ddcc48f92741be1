"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest
import torch
from longest import FIRST

ROOT = Path(__file__).resolve().parents[1]

# mmdet's own SOLO: these tests are about the tools. {iters} iterations, one checkpoint each.
CONFIG = """
_base_ = 'mmdet::solo/solo_r50_fpn_1x_coco.py'
model = dict(
    backbone=dict(depth=18, base_channels=8, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=8),
    mask_head=dict(
        in_channels=8, stacked_convs=1, feat_channels=8, num_grids=[8, 6, 4, 3, 2],
        norm_cfg=dict(type='GN', num_groups=4)),
    test_cfg=dict(score_thr=0.0, mask_thr=0.005, filter_thr=0.0, nms_pre=20, max_per_img=10))
for pipeline in (_base_.train_pipeline, _base_.test_pipeline):
    for transform in pipeline:
        if transform['type'] == 'Resize':
            transform['scale'] = (64, 64)
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=2, val_interval=100)
param_scheduler = []
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1), logger=dict(interval=1))
log_processor = dict(by_epoch=False)
"""


def pytest_configure(config: pytest.Config) -> None:
    """pytest-xdist shares out the files in the order of `FIRST`, not those of most tests first."""
    config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of `FIRST` first."""
    order = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m gpu` alone, leave the files without such tests: most of them need MMDetection, which may be absent."""
    if config.option.markexpr == 'gpu' and collection_path.suffix == '.py':
        return 'mark.gpu' not in collection_path.read_text() or None
    return None


def pytest_collection_finish(session: pytest.Session) -> None:
    """With `-m gpu` where PyTorch sees no GPU, say so once instead of by every test."""
    option = session.config.option
    if option.markexpr == 'gpu' and session.items and not option.collectonly and not torch.cuda.is_available():
        pytest.exit(
            f'{len(session.items)} tests need CUDA, and torch {torch.__version__} sees no GPU (`make doctor`)', 1
        )


@pytest.fixture(scope='session')
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope='session')
def shared() -> Path:
    """The folder of reference material (`MMAGG_SHARED`, or `shared` beside the checkout); skips where there is none."""
    path = Path(os.environ.get('MMAGG_SHARED', ROOT.parent / 'shared'))
    if not path.is_dir():
        pytest.skip(f'reference folder {path} is not here; set MMAGG_SHARED to run this test')
    return path


@pytest.fixture(scope='session')
def shapes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO folder with four training and two validation images of 64 by 64 pixels; not to be changed."""
    from mmagg.demo.shapes import write_shapes

    folder = tmp_path_factory.mktemp('data') / 'shapes'
    write_shapes(folder, images=4, val_images=2, size=64, seed=0)
    return folder


@pytest.fixture(scope='session')
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SOLO that trains two iterations in a second."""
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    path.write_text(CONFIG)
    return path


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


class Time:
    """Time that passes when told so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The time that stages are measured by."""
    time = Time()
    monkeypatch.setattr('mmagg.ops.stage.perf_counter', time)
    return time

"""What the configs of the SOLO family say: each its own authors' settings, and of an ablation one thing."""

from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1] / 'configs'
GRID = sorted(path for method in ('solo', 'solov2', 'aggmask') for path in (ROOT / method).glob('*.py'))
ABLATIONS = {
    'adaptive-pool': {'class_align': 'adaptive_pool'},
    'region-grid': {'class_align': 'region_grid'},
    'no-coord': {'mask_branch.coordinates': False},
    'coord-2': {'mask_branch.coordinates': 2},
    'coord-3': {'mask_branch.coordinates': 3},
    **{f'depth-{n}': {'class_tower.num_convs': n, 'mask_branch.num_convs': n} for n in (4, 5, 6)},
}


def leaves(node: dict, prefix: str = '') -> dict:
    """The values of a nested dictionary by dotted keys."""
    found = {}
    for key, value in node.items():
        found |= leaves(value, f'{prefix}{key}.') if isinstance(value, dict) else {prefix + key: value}
    return found


@pytest.mark.parametrize('path', GRID, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_each_has_its_own_authors_targets(path: Path) -> None:
    """AggMask's release started from early SOLO; SOLO's and SOLOv2's public heads count and round as mmdet does."""
    head = Config.fromfile(path).model.get('mask_head')
    if 'mask_branch' not in (head or {}):  # Mask R-CNN, CondInst
        return
    early = path.parent.name == 'aggmask' or head.mask_branch.get('feature_branch_norm') is False
    assert (head.assigner.min_area, head.assigner.rounding) == ((10, 'floor') if early else (1, 'trunc'))


@pytest.mark.parametrize('name', ABLATIONS)
def test_an_ablation_changes_one_thing(name: str) -> None:
    base, other = (
        leaves(Config.fromfile(ROOT / 'solo' / f'{method}_r50_fpn_3x_coco.py').to_dict())
        for method in ('solo', f'solo-{name}')
    )
    changed = {key: value for key, value in other.items() if key not in base or base[key] != value}
    assert changed == {f'model.mask_head.{key}': value for key, value in ABLATIONS[name].items()}


@pytest.mark.parametrize(
    'name, scale, largest',
    [
        ('solov2/solov2-light_r50_fpn_3x_coco.py', (768, 448), 448),
        ('solov2/solov2-light_r50-dcn_fpn_3x_coco.py', (852, 512), 512),
        ('solo/decoupled-solo-light_r50_fpn_3x_coco.py', (852, 512), 512),
    ],
)
def test_light_models_have_the_sizes_that_their_ranges_are_for(name: str, scale: tuple, largest: int) -> None:
    cfg = Config.fromfile(ROOT / name)
    assert [step.scale for step in cfg.test_dataloader.dataset.pipeline if 'scale' in step] == [scale]
    (scales,) = (step.scales for step in cfg.train_dataloader.dataset.pipeline if 'scales' in step)
    assert scales == [(scale[0], side) for side in range(512, 351, -32)]
    assert cfg.model.mask_head.assigner.scale_ranges[3][1] == largest


@pytest.mark.parametrize('name', ['solo_r101', 'decoupled-solo_r101', 'decoupled-solo_r101-dcn', 'solo-512_r50'])
def test_table_1_and_6_take_72_epochs(name: str) -> None:
    cfg = Config.fromfile(ROOT / 'solo' / f'{name}_fpn_6x_coco.py')
    assert cfg.train_cfg.max_epochs == 72
    assert cfg.param_scheduler[1].milestones == [54, 66]
    assert ('dcn' in cfg.model.backbone) == ('dcn' in name)


@pytest.mark.parametrize('name', ['solo/solo-contour_r50_fpn_3x_coco.py', 'demo/solo-contour_tiny_shapes.py'])
def test_contours_are_made_once_the_image_has_its_size(name: str) -> None:
    cfg = Config.fromfile(ROOT / name)
    train, val, test = (
        [step.type for step in cfg[f'{stage}_dataloader'].dataset.pipeline] for stage in ('train', 'val', 'test')
    )
    assert train[-3:] == ['RandomFlip', 'InstanceContours', 'PackDetInputs']
    assert val[-2:] == ['InstanceContours', 'PackDetInputs'], 'validation losses are of contours, too'
    assert [*val[:-2], val[-1]] == test
    assert cfg.val_evaluator.metric == cfg.test_evaluator.metric == ['bbox']

import errno
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmagg.apis.config import load_config, name_run, set_work_dir
from mmagg.apis.config_options import check_options, options_kept
from mmagg.apis.inference import ask_for_rle
from mmagg.io.errors import InputError


@pytest.fixture(scope='module')
def cfg() -> Config:
    return load_config('mmdet::solo/solo_r50_fpn_1x_coco.py')


@pytest.mark.parametrize(
    'options',
    [
        {'model.mask_head.num_classes': 3},  # is there
        {'model.backbone.with_cp': True},  # an argument of ResNet
        {'model.backbone.conv_cfg.type': 'Conv2d'},  # a new dict for an argument
        {'optim_wrapper.clip_grad.max_norm': 35, 'optim_wrapper.accumulative_counts': 2},
        {'optim_wrapper.paramwise_cfg.norm_decay_mult': 0.0},  # read by the optimiser's builder
        {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.loss_scale': 'dynamic'},  # of the new type
        {'randomness.seed': 1, 'load_from': 'x.pth', 'custom_hooks': []},  # the Runner's
        {'train_dataloader.dataset.pipeline.2.scale': (64, 64)},  # inside a list
        {'default_scope': 'mmdet', 'custom_imports.imports': ['json']},
        {'train_dataloader.drop_last': True, 'model.test_cfg.update_thr': 0.1},  # dicts without a type
    ],
)
def test_options_that_somebody_reads(cfg: Config, options: dict) -> None:
    check_options(cfg, options)


@pytest.mark.parametrize(
    'key, message',
    [
        ('model.mask_hed.num_classes', 'did you mean mask_head'),
        ('train_cfg.max_epoch', 'EpochBasedTrainLoop takes no such argument; did you mean max_epochs'),
        ('modle.mask_head.num_classes', 'the Runner takes no such argument; did you mean model'),
        ('model.test_cfg.score_thrs', 'did you mean score_thr'),
        ('model.backbone.depht', 'did you mean depth'),
        ('train_dataloader.dataset.pipeline.2.scales', 'Resize takes no such argument; did you mean scale'),
        ('train_dataloader.dataset.pipeline.9.scale', 'Index 9 exceeds'),
        ('model.backbone.depth.x', 'depth'),
        ('param_scheduler.1.milestones.1', r'`param_scheduler.1.milestones` can be set as a whole only; it is \['),
        ('model.backbone.out_indices.0', r'`model.backbone.out_indices` can be set as a whole .* \(0, 1, 2, 3\)'),
        ('train_dataloader.dataset.pipeline.0', '`train_dataloader.dataset.pipeline` can be set as a whole only'),
    ],
)
def test_misspelt_options_are_refused(cfg: Config, key: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        check_options(cfg, {key: 1})
    assert len(str(caught.value)) < 300


def test_options_are_merged(tmp_path: Path) -> None:
    cfg = load_config('mmdet::solo/solo_r50_fpn_1x_coco.py', {'model.mask_head.num_classes': 3})
    assert cfg.model.mask_head.num_classes == 3


def test_options_win_over_what_a_command_changes(root: Path) -> None:
    config, seen = root / 'configs/demo/solo_tiny_shapes.py', []

    def change(cfg: Config) -> None:
        seen.append(cfg.train_cfg.max_epochs)
        cfg.train_cfg.update(max_epochs=5, val_interval=5)

    cfg = load_config(config, {'train_cfg.max_epochs': 2}, changes=[change])
    assert seen == [2], 'what a command changes may depend on the options'
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (2, 5)
    assert load_config(config, changes=[ask_for_rle]).model.test_cfg.mask_format == 'rle'
    bitmap = {'model.test_cfg.mask_format': 'bitmap'}
    assert load_config(config, bitmap, changes=[ask_for_rle]).model.test_cfg.mask_format == 'bitmap'


def test_options_for_what_is_not_read_are_refused(cfg: Config) -> None:
    reads = {'model', 'test_evaluator'}
    load_config(cfg, {'model.mask_head.num_classes': 3, 'default_scope': 'mmdet'}, reads=reads)
    for key, message in (
        ('train_cfg.max_epochs', 'does not read `train_cfg` of a config$'),
        ('val_evaluator.metric', 'does not read `val_evaluator` of a config; set test_evaluator.metric$'),
        ('val_cfg.type', 'does not read `val_cfg` of a config$'),
        ('tta_model', 'add --tta'),
    ):
        with pytest.raises(InputError, match=message):
            load_config(cfg, {key: 'x'}, reads=reads)


def test_options_and_arguments_that_contradict_each_other_are_refused(cfg: Config) -> None:
    options = {'optim_wrapper.type': 'OptimWrapper', 'randomness.seed': 1, 'custom_hooks': [dict(type='EMAHook')]}
    changed = load_config(cfg, options)
    with options_kept(changed, options):
        changed.randomness.seed = 1
        changed.optim_wrapper.clip_grad = None
    with (
        pytest.raises(InputError, match=r'--cfg-options randomness\.seed=1: .* sets it to 2;'),
        options_kept(changed, options),
    ):
        changed.randomness = {'seed': 2}


def test_imports_of_an_option_are_made(cfg: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'imported_by_an_option.py').write_text('')
    monkeypatch.syspath_prepend(tmp_path)
    load_config(cfg, {'custom_imports.imports': ['imported_by_an_option']})
    assert 'imported_by_an_option' in sys.modules


@pytest.mark.parametrize(
    'text, message', [('a = 1\n', 'no `model`'), ('model = None\n', 'no `model`'), (None, 'no such file')]
)
def test_what_is_no_config(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / 'x.py'
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_config(path)


@pytest.mark.parametrize(
    'text, message',
    [
        ('1 / 0', r'x\.py, line 2: ZeroDivisionError: '),
        ('raise RuntimeError', r'x\.py, line 2: RuntimeError$'),
        ('raise MemoryError', r'x\.py, line 2: MemoryError$'),
        ('exit()', 'SystemExit'),
        ('x = (', "SyntaxError: '\\(' was never closed"),
        ('-' * 100_000 + '1', 'MemoryError|RecursionError'),
        ('\0', 'null bytes'),
        ("_base_ = 'none.py'", 'none.py'),
    ],
)
def test_a_config_that_fails(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / 'x.py'
    path.write_text(f'model = dict()\n{text}\n')
    with pytest.raises(InputError, match=f'^config {path}: .*{message}') as caught:
        load_config(path)
    assert len(str(caught.value)) < 2500


@pytest.mark.parametrize('kind', ["''", '5', 'None', "['ResNet']"])
def test_a_type_that_names_no_class(tmp_path: Path, kind: str) -> None:
    path = tmp_path / 'x.py'
    path.write_text(f"model = dict(type='SOLO', backbone=dict(type={kind}))\n")
    with pytest.raises(InputError, match=rf'^config {path}: model\.backbone\.type is .*, where the name of a class'):
        load_config(path)


def test_types_that_are_no_classes(tmp_path: Path) -> None:
    path = tmp_path / 'x.py'
    path.write_text('flips = dict(type=None)\nmodel = dict(mask_head=dict(upsample_cfg=dict(type=None)))\n')
    load_config(path)


def test_a_folder_or_a_checkpoint_for_a_config(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'config .*: a folder, name a file'):
        load_config(tmp_path)
    checkpoint = tmp_path / 'epoch_1.pth'
    checkpoint.touch()
    with pytest.raises(InputError, match=r'epoch_1\.pth: not a config .*; the config comes first'):
        load_config(checkpoint)


@pytest.mark.parametrize(
    'name, message',
    [
        ('mmseg::segformer/segformer.py', "no package 'mmseg' is installed"),
        ('mmag::solo/solo_r50_fpn_1x_coco.py', "no package 'mmag' is installed"),
        ('::solo/solo_r50_fpn_1x_coco.py', "no package '' is installed"),
        ('torch::solo/solo_r50_fpn_1x_coco.py', 'does not support to load torch config'),
        ('mmagg::solo_r50_fpn_1x_coco.py', 'specify the package name and relative config path'),
        ('mmagg::solo/README.md', 'Only py/yml/yaml/json'),
        ('mmagg::solo/nothing.py', 'does not exist'),
    ],
)
def test_a_name_that_is_of_no_config(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mmengine.utils.package_utils.install_package', lambda package: pytest.fail('calls pip'))
    with pytest.raises(InputError, match=f'^config {name}: .*{message}'):
        load_config(name)


def test_work_dir() -> None:
    assert set_work_dir(Config({}), 'configs/solo/a.py', None) == Path('work_dirs/a')
    assert set_work_dir(Config({'work_dir': 'b'}), 'a.py', None) == Path('b')
    assert set_work_dir(Config({'work_dir': 'b'}), 'a.py', Path('c')) == Path('c')


def test_a_moved_run_is_not_written_to_where_it_was(tiny_config, tmp_path):
    old, new = tmp_path / 'old', tmp_path / 'new'
    cfg = load_config(tiny_config)
    set_work_dir(cfg, tiny_config, old)
    for folder in (old, new):
        folder.mkdir()
        cfg.dump(folder / 'tiny.py')
    assert set_work_dir(load_config(new / 'tiny.py'), new / 'tiny.py', None) == old, 'a copy of a config alone'
    for folder in (old, new):
        (folder / 'epoch_1.pth').touch()
    for folder in (old, new):
        assert set_work_dir(load_config(folder / 'tiny.py'), folder / 'tiny.py', None) == folder
    other = load_config(new / 'tiny.py', {'work_dir': 'option'})
    assert set_work_dir(other, new / 'tiny.py', None) == Path('option')
    assert set_work_dir(load_config(new / 'tiny.py'), new / 'tiny.py', 'named') == Path('named')


def test_a_second_run_has_a_name_of_its_own(root: Path, monkeypatch) -> None:
    taken = {'solo_tiny_fit_20260101_120000': None, 'fit 2_20260101_120001': None}
    monkeypatch.setattr(MMLogger, '_instance_dict', taken)
    cfg = load_config(root / 'configs/demo/solo_tiny_shapes.py')
    name_run(cfg)
    assert cfg.get('experiment_name') is None  # mmengine takes the file's
    cfg = load_config(root / 'configs/demo/solo_tiny_fit.py')
    name_run(cfg)
    assert cfg.experiment_name == 'solo_tiny_fit 2'
    cfg.experiment_name = 'fit'
    name_run(cfg)
    assert cfg.experiment_name == 'fit'
    monkeypatch.setitem(MMLogger._instance_dict, 'fit_20260101_120000', None)
    name_run(cfg)
    assert cfg.experiment_name == 'fit 3'


@pytest.mark.parametrize('place, code', [('TemporaryDirectory', errno.ENOENT), ('NamedTemporaryFile', errno.ENOSPC)])
def test_a_temporary_folder_that_cannot_be_used_is_said(place: str, code: int, root: Path, monkeypatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError(code, 'none')

    monkeypatch.setattr(f'tempfile.{place}', fail)
    with pytest.raises(InputError, match=r'solo_tiny_shapes.py: cannot be copied to the temporary folder: .*; TMPDIR='):
        load_config(root / 'configs/demo/solo_tiny_shapes.py')


def test_so_is_one_for_a_config_of_mmdet(monkeypatch) -> None:
    monkeypatch.setattr('tempfile.TemporaryDirectory', lambda: Path('/nowhere').read_bytes())
    with pytest.raises(InputError, match=r'solo_r50_fpn_1x_coco.py: cannot be copied to the temporary'):
        load_config('mmdet::solo/solo_r50_fpn_1x_coco.py')

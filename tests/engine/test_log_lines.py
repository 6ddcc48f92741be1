"""Lines of a log, each once."""

import logging

import pytest

from mmagg.apis.training import train
from mmagg.engine.log_lines import LogLines, brief_console


@pytest.fixture
def written(caplog):
    """Writes lines to a logger with the filter; returns those that come out."""
    logger, lines = logging.getLogger('log lines'), LogLines()
    logger.addFilter(lines)

    def write(*texts: str) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.INFO, logger.name):
            for text in texts:
                logger.info(text)
        return [record.getMessage() for record in caplog.records]

    yield write
    logger.removeFilter(lines)


TRAIN = 'Epoch(train)  [3][40/40]  lr: 1.0000e-04  eta: 0:00:00  time: 0.0565  loss: 3.1046'
STEP = 'Epoch(val)  [3][1/2]    eta: 0:00:00  time: 0.0180  data_time: 0.0018  '
LAST = 'Epoch(val)  [3][2/2]    eta: 0:00:00  time: 0.0180  data_time: 0.0018  '
SCORES = 'Epoch(val) [3][2/2]    coco/segm_mAP: 0.1000  data_time: 0.0018  time: 0.0180'


def test_an_epoch_ends_with_one_line_each(written) -> None:
    name = 'Exp name: solo_20260101'
    lines = (name, TRAIN, 'Saving checkpoint at 3 epochs', STEP, LAST, SCORES, name, TRAIN.replace('[3]', '[4]'))
    assert written(*lines) == [name, TRAIN, 'Saving checkpoint at 3 epochs', STEP, SCORES, TRAIN.replace('[3]', '[4]')]
    assert written('Exp name: another', 'Exp name: another') == ['Exp name: another']


def test_an_iteration_that_two_hooks_log_is_there_once(written) -> None:
    assert written(TRAIN, TRAIN.replace('loss', 'grad_norm: 1  loss')) == [TRAIN]


@pytest.mark.parametrize('head', ['Iter(val) [2/2]', 'Epoch(test) [2/2]', 'Iter(test) [2/2]', 'Epoch(val)[3][2/2]'])
def test_forms_of_the_head(head: str, written) -> None:
    last, scores = f'{head}    eta: 0:00:00  time: 0.01', f'{head}    coco/segm_mAP: 0.1000  time: 0.01'
    assert written(last, scores) == [scores]
    assert written(f'{head}    time: 0.01') == [f'{head}    time: 0.01']  # nothing was found


def test_scores_that_do_not_exist_are_dashes(written) -> None:
    best = 'The best checkpoint with -1.0000 coco/segm_mAP_l at 1 epoch is saved to best.pth.'
    assert written(best) == [best.replace('-1.0000', '–')]
    line = (
        'Epoch(val) [1][2/2]    coco/bbox_mAP_l: -1.0000  coco/segm_AR_m@100: -1.000  lvis/segm_AP*50: -1.0  '
        'coco/segm_traffic light_precision: -1.0000  coco/segm_mAP: 0.0000  offset: -1.0000  lr: 1.0  time: 0.1'
    )
    assert written(line) == [
        'Epoch(val) [1][2/2]    coco/bbox_mAP_l: –  coco/segm_AR_m@100: –  lvis/segm_AP*50: –  '
        'coco/segm_traffic light_precision: –  coco/segm_mAP: 0.0000  offset: -1.0000  lr: 1.0  time: 0.1'
    ]


def test_names_of_files_do_not_steer_the_terminal_that_shows_a_log(written) -> None:
    assert written('image \x1b[2J\udcff.png', f'{SCORES}  \x1b[2J_precision: 1') == [
        r'image \x1b[2J\udcff.png',
        rf'{SCORES}  \x1b[2J_precision: 1',
    ]


def test_how_a_run_begins_is_in_its_log_file_and_not_on_the_console(
    tmp_path, tiny_config, shapes_folder, capsys
) -> None:
    changes = {'train_cfg.max_iters': 1, 'optim_wrapper.paramwise_cfg': {'bias_decay_mult': 0}}
    changes['model.backbone.frozen_stages'] = 1
    train(tiny_config, coco=shapes_folder, work_dir=tmp_path / 'w', cfg_options=changes)
    [log] = (tmp_path / 'w').glob('*/*.log')
    shown, kept = capsys.readouterr().out, log.read_text()
    begins = (
        'System environment:',
        'Config:\n',
        'Hooks will be executed',
        '"FileClient" will be',
        'Distributed training is not',
        'paramwise_options -- ',
        'is skipped since its requires_grad=False',
    )
    for begin in begins:
        assert begin in kept
        assert begin not in shown
    assert f'Environment, config and hooks are in {log}' in shown
    assert 'Iter(train)' in shown
    logger = logging.Logger('without a file')
    assert brief_console(logger) is logger

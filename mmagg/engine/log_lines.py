"""A training's log as people read it: each line once, a dash for a score that does not exist, no control characters.

mmengine names the experiment at each end of an epoch, and gives the last iteration of a validation a line of its own
before that with the scores, which begins alike. The records for curves are not touched.
"""

import logging
import re

from mmengine.logging import MMLogger

from mmagg.io.tables import NONE
from mmagg.io.terminal import cut, printable

HEAD = re.compile(r'(?:Epoch|Iter)\((\w+)\)\s*(?:\[[^]]*\])*\[\s*(\d+)/(\d+)\]')
EXPERIMENT = 'Exp name: '
MISSING = re.compile(r'(\S*(?:A[PR]|precision)\S*): -1\.0*(?=\s|$)')  # COCO's scores are 0 to 1
BEST = re.compile(r'(?<=^The best checkpoint with )-1\.0*(?= )')
PREAMBLE = f'\n{"-" * 60}\nSystem environment:', 'Config:\n', 'Hooks will be executed in the following order:\n'
ITS_OWN = (
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    'Distributed training is not used, all Sync',
    'paramwise_options -- ',  # a line for each parameter
)
FROZEN = ' is skipped since its requires_grad=False'  # likewise


def brief_console(logger: MMLogger) -> MMLogger:
    """Keep the hundreds of lines with which mmengine begins a run out of the console, if they go to a file as well.

    Likewise those of its inner workings, `ITS_OWN` and `FROZEN`, which no user can act on.
    """
    files = [handler.baseFilename for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    for handler in logger.handlers if files else ():
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(lambda record: not _for_the_file(record.getMessage()))
    if files:
        logger.info(f'Environment, config and hooks are in {files[0]}')
    return logger


def _for_the_file(line: str) -> bool:
    return line.startswith(PREAMBLE + ITS_OWN) or line.endswith(FROZEN)


class LogLines(logging.Filter):
    """For the logger of a runner."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.experiment = '', ''

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written; scores in it are changed in place."""
        line = printable(record.getMessage())
        line = cut(line) if record.levelno >= logging.WARNING else line
        record.msg, record.args = line, ()
        if line.startswith(EXPERIMENT):
            known, self.experiment = self.experiment, line
            return line != known
        found = HEAD.match(line)
        if found is None:
            record.msg = BEST.sub(NONE, line)
            return True
        mode, place, end = found.groups()
        known, self.last = self.last, found[0]
        if mode == 'train':
            return found[0] != known
        rest = line[found.end() :].strip()
        if place == end and (not rest or rest.startswith('eta: ')):
            return False  # an iteration's; the scores follow
        record.msg = MISSING.sub(rf'\1: {NONE}', line)
        return True

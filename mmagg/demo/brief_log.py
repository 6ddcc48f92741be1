"""mmengine's console output reduced to progress; the log files in the work dir stay whole."""

import io
import re
from typing import TextIO

PROGRESS = re.compile(r'(?:Epoch|Iter)\((\w+)\)\s+((?:\[[^]]*\])+)\s*(.*)')
SHOWN = {'eta': 'eta', 'loss': 'loss', 'coco/bbox_mAP': 'box AP', 'coco/segm_mAP': 'mask AP'}


def brief_line(line: str) -> str | None:
    """A console line's progress or error message; None for any other line."""
    if ' - ERROR - ' in line:
        return f'  {line.rsplit(" - ", 1)[1]}'  # without the place in the source that precedes the message
    found = PROGRESS.search(line)
    if found is None:
        return None
    fields = dict(re.findall(r'(\S+): (.+?)(?:\s{2,}|$)', found[3]))
    shown = '  '.join(f'{SHOWN[key]} {value}' for key, value in fields.items() if key in SHOWN)
    return f'  {found[1]:<5} {re.sub(" +", "", found[2])}  {shown}' if shown else None


class BriefLog(io.TextIOBase):
    """A stand-in for stdout (`contextlib.redirect_stdout`) that writes the `brief_line` of each line to ``target``."""

    def __init__(self, target: TextIO) -> None:
        self.target, self.rest = target, ''

    def write(self, text: str) -> int:
        """Take text in any pieces; lines are passed on when they are whole."""
        *lines, self.rest = (self.rest + text).split('\n')
        for line in filter(None, map(brief_line, lines)):
            self.target.write(f'{line}\n')
            self.target.flush()
        return len(text)

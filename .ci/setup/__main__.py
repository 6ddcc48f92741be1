"""python .ci/setup: see mending.py. This file is read by any Python, so that an old one says that it is too old."""

import sys
from os.path import abspath, dirname

if sys.version_info < (3, 8):  # noqa: UP036
    here = '%s is Python %d.%d' % ((sys.executable,) + sys.version_info[:2])  # noqa: UP031, RUF005
    sys.exit(
        'make setup: the tested stack needs Python 3.11 to 3.13, and ' + here + ': pass SYSTEM_PYTHON=/path/to/python'
    )

from mending import main

sys.exit(main(dirname(dirname(dirname(abspath(__file__))))))

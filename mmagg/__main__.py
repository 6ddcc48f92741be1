"""``python -m mmagg COMMAND …``."""

import sys

from mmagg.cli.main import main

if __name__ == '__main__':
    sys.exit(main())

"""``python -m quernel``: the command line."""

import sys

from quernel.cli import main

sys.exit(main())

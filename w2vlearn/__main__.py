"""``python -m w2vlearn``: see `w2vlearn.cli`."""

import sys

from w2vlearn.cli import main

if __name__ == "__main__":
    sys.exit(main())

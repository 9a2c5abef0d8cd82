"""`python -m epee`: the same as the `epee` command."""

import sys

from epee.runtime.cli import main

if __name__ == "__main__":
    sys.exit(main())

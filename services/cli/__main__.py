"""`python -m services.cli`, as `pulang`."""

import sys

from services.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m imagedata_xr``: all commands under one name."""

from __future__ import annotations

import sys

from imagedata_xr_cli.family import main

if __name__ == "__main__":
    sys.exit(main())

"""Pages of the docs that are made from the code are up to date."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_reference_of_commands():
    """The page of commands is what `python docs/make_commands.py` writes now."""
    made = runpy.run_path(str(DOCS / "make_commands.py"))
    assert (DOCS / "reference" / "commands.md").read_text(encoding="utf-8") == made["page"]()

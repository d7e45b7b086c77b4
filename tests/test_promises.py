"""The page of promises names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "explanation" / "promises.md"
NAMED = re.compile(r"`(test_\w+\.py)(?:::(test_\w+))?`")


def test_every_promise_has_its_test():
    """Each row names tests, and each of them is there."""
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    for row in rows:
        found = NAMED.findall(row)
        assert found, row
        for file, name in found:
            text = (TESTS / file).read_text("utf-8")
            assert not name or f"def {name}(" in text, f"{file}::{name}"

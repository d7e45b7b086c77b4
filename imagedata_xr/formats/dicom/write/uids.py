"""New identifiers of what is written (PS3.5 9 and B.2)."""

from __future__ import annotations

import uuid

__all__ = ["new_uid"]


def new_uid() -> str:
    """Return a new UID: ``2.25.`` and a random UUID as a decimal number (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"

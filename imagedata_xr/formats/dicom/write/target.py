"""Names of the files of a series."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["OURS", "file_name"]

SHORTEST: Final = 4
OURS: Final = re.compile(r"\d{4,}\.dcm")


def file_name(number: int, count: int) -> str:
    """
    Return the name of a file: names sort as the frames do, and say nothing of the patient.

    Parameters
    ----------
    number : int
        From 1.
    count : int
        Of all files.
    """
    return f"{number:0{max(SHORTEST, len(str(count)))}d}.dcm"

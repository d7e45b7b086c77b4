"""
Where writers put what they make: complete, or not at all.

A writer fills a private place and, when all is there, the target appears in one step. A process
that is killed, a full disk or an error leaves at most a hidden file or folder that ends in
``.part``, never half a target under its name; what exists is replaced only on request.
"""

from __future__ import annotations

from imagedata_xr.targets.files import named, written_at
from imagedata_xr.targets.folders import complete_folder, place_of
from imagedata_xr.targets.local import as_write_error, complete_file

__all__ = ["as_write_error", "complete_file", "complete_folder", "named", "place_of", "written_at"]

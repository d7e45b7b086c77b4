"""What waits in the prearchive of an XNAT server for a person to decide."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from imagedata_xr.errors import OptionError
from imagedata_xr.transports.core.selection import Record

if TYPE_CHECKING:
    from imagedata_xr.transports.core.selection import Level
    from imagedata_xr.transports.xnat.client import Client

__all__ = ["waiting"]

_ROOT: Final = "/data/prearchive/projects"
_PARTS: Final = ("project", "subject", "name")


def waiting(client: Client, level: Level) -> list[Record]:
    """
    Return the sessions that wait, or their scans.

    Parameters
    ----------
    client : Client
        Its URL names project, subject and session, each with wildcards; what is not named is all.
    level : {"study", "series"}

    Raises
    ------
    OptionError
        The prearchive lists nothing of this level, or the URL has more parts.
    """
    parts = client.locator.path
    if level not in ("study", "series") or len(parts) > len(_PARTS):
        raise OptionError(
            f"{client.locator}: the prearchive lists sessions (level='study') and their scans "
            "('series') of project/subject/session"
        )
    sessions = [
        row
        for row in client.rows(_ROOT)
        if all(
            fnmatch.fnmatchcase(row.get(key, ""), part)
            for key, part in zip(_PARTS, parts, strict=False)
        )
    ]
    if level == "study":
        return [Record("study", _values(row)) for row in sessions]
    return [
        Record(
            "series",
            {
                **_values(row),
                "XNATScan": scan.get("ID", ""),
                "SeriesNumber": scan.get("ID", ""),
                "SeriesDescription": scan.get("series_description") or scan.get("type", ""),
            },
        )
        for row in sessions
        for scan in client.rows(f"{_rest(row)}/scans")
    ]


def _rest(row: dict[str, str]) -> str:
    parts = (row.get(key, "") for key in ("project", "timestamp", "folderName"))
    return "/".join((_ROOT, *(quote(part, safe="") for part in parts)))


def _values(row: dict[str, str]) -> dict[str, str]:
    return {
        "XNATProject": row.get("project", ""),
        "XNATSubject": row.get("subject", ""),
        "XNATExperiment": row.get("name", ""),
        "XNATStatus": row.get("status", ""),
        "XNATTimestamp": row.get("timestamp", ""),
        "PatientID": row.get("subject", ""),
        "StudyDate": row.get("scan_date", ""),
    }

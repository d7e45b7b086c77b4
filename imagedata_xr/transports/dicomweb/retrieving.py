"""
WADO-RS: what a server has, into a folder, as it is stored there (PS3.18 section 10.4).

The server is asked first what it has, so that what does not arrive is known; that is asked for
again, and is an error if it stays away.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import (
    AuthenticationError,
    FormatError,
    PartialReadError,
    PeerConnectionError,
    RejectedError,
    SourceNotFoundError,
    TransportError,
    WriteError,
)
from imagedata_xr.transports.core.results import Manifest
from imagedata_xr.transports.core.spool import existing, made_folder
from imagedata_xr.transports.dicomweb.arriving import Arrival
from imagedata_xr.transports.dicomweb.client import Client, resource
from imagedata_xr.transports.dicomweb.multipart import boundary_of, parts
from imagedata_xr.transports.dicomweb.query import found

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from requests import Response

    from imagedata_xr.transports.core.locator import Locator
    from imagedata_xr.transports.core.part10 import Identity
    from imagedata_xr.transports.core.results import Instance

__all__ = ["fetch"]

# As stored, whatever the transfer syntax is: without it, servers decompress.
_ACCEPT: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
# So few instances are asked for one by one.
_FEW: Final = 8
_OVERHEAD: Final = 1 << 16


def fetch(
    url: str | Locator,
    folder: str | os.PathLike[str],
    *,
    keys: Mapping[str, str] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> Manifest:
    """
    Copy what a server has into a folder, a file an instance, byte for byte as it is stored there.

    Parameters
    ----------
    url : str
        See `Client`.
    folder : path
        Made where it is not there. Files are named by their SOP Instance UID; those that are there
        are not fetched again.
    keys : mapping of str to str, optional
        DICOM keywords and what they must match: see `find`.
    overwrite : bool
        Fetch all again, and replace files with other contents.
    progress : callable, optional
        Called with how many instances are there, and of how many.
    **options
        Of `Client`.

    Returns
    -------
    Manifest

    Raises
    ------
    SourceNotFoundError
        The server has nothing of this.
    PartialReadError
        Not all that it lists has arrived; what has stays, and the next call goes on there.
    TransportError
        It does not answer, or refuses.
    """
    with Client(url, keys=keys, **options) as client:
        records = found(client, "instance", inherit=False)
        if not records:
            raise SourceNotFoundError(f"{client.locator}: the server has nothing of this")
        place = made_folder(folder)
        task = _Task(client, place, overwrite=overwrite, progress=progress)
        for one in records:
            task.expected[one["StudyInstanceUID"], one["SeriesInstanceUID"]].append(one.uid)
        task.whole = client.selection.instance is None and not task.of_instances
        return task.run()


@dataclass(slots=True)
class _Task:
    """What is to be fetched, what is there, and what went wrong."""

    client: Client
    folder: Path
    overwrite: bool
    progress: Callable[[int, int], object] | None
    whole: bool = True
    expected: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    got: dict[str, Instance] = field(default_factory=dict)
    size: int = 0
    problems: dict[str, None] = field(default_factory=dict)

    @property
    def of_instances(self) -> bool:
        """Whether not all instances of the series are meant."""
        from imagedata_xr.transports.core.keys import by_level

        return bool(by_level(self.client.selection.keys)["instance"])

    def run(self) -> Manifest:
        wanted = [uid for uids in self.expected.values() for uid in uids]
        if len(wanted) > self.client.limits.count:
            raise TransportError(f"{self.client.locator}: {len(wanted)} instances are too many")
        if not self.overwrite:
            for (_, series), uids in self.expected.items():
                for uid in uids:
                    if there := existing(self.folder, uid, series):
                        self._have(there)
        for study, series in self.expected:
            self._series(study, series)
        manifest = Manifest(tuple(self.got[uid] for uid in wanted if uid in self.got))
        missing = [uid for uid in wanted if uid not in self.got]
        if missing:
            raise PartialReadError(
                f"{self.client.locator}: {len(missing)} of {len(wanted)} instance(s) did not "
                f"arrive: {'; '.join(list(self.problems)[:5])} (error.missing has them; what "
                "arrived is kept, and calling again goes on there)",
                manifest=manifest,
                missing=missing,
            )
        return manifest

    def _have(self, one: Instance) -> None:
        self.got[one.uid] = one
        self.size += one.size
        if self.size > self.client.limits.total:
            raise TransportError(
                f"{self.client.locator}: more than {self.client.limits.total} bytes: not taken"
            )
        if self.progress is not None:
            self.progress(len(self.got), sum(map(len, self.expected.values())))

    def _series(self, study: str, series: str) -> None:
        uids = self.expected[study, series]
        delays = self.client.web.retry.delays()
        alone = not self.whole
        while missing := [uid for uid in uids if uid not in self.got]:
            if alone or len(missing) <= min(_FEW, len(uids) - 1):
                for uid in missing:
                    self._asked((study, series, uid))
            else:
                self._asked((study, series))
            left = sum(uid not in self.got for uid in uids)
            # A server that leaves instances out of a series is asked for each.
            alone = alone or left == len(missing)
            if left < len(missing):
                delays = self.client.web.retry.delays()
                continue
            delay = next(delays, None)
            if delay is None:
                return
            time.sleep(delay)

    def _asked(self, uids: tuple[str, ...]) -> None:
        """Take what a request for a series or an instance brings; what goes wrong is noted."""
        try:
            answer = self.client.web.request(
                "GET",
                f"{self.client.root}{resource(*uids)}",
                headers={"Accept": _ACCEPT, "Accept-Encoding": "identity"},
                accept=(200, 206),
                again=False,
            )
            self._take(answer, uids)
        except (AuthenticationError, WriteError):
            raise
        except (PeerConnectionError, FormatError, SourceNotFoundError) as error:
            self.problems[self._short(error)] = None
        except RejectedError as error:
            if not self.got and error.status in (400, 406):
                raise
            self.problems[self._short(error)] = None

    def _short(self, error: Exception) -> str:
        return str(error).removeprefix(f"{self.client.locator}: ")

    def _take(self, answer: Response, uids: tuple[str, ...]) -> None:
        kind = answer.headers.get("Content-Type", "")
        boundary = boundary_of(kind)
        limits = self.client.limits
        most = limits.instance if len(uids) > 2 else limits.total - self.size
        pieces = self.client.web.pieces(answer, most + _OVERHEAD)
        try:
            if boundary is not None:
                for head, body in parts(pieces, boundary):
                    self._keep(body, uids, _length(head))
            elif kind.partition(";")[0].strip().lower() == "application/dicom":
                self._keep(pieces, uids, None)
            else:
                raise self.client.web.no_data(answer)
        finally:
            answer.close()

    def _keep(self, body: Iterator[bytes], uids: tuple[str, ...], size: int | None) -> None:
        study, series = uids[:2]
        wanted = set(uids[2:] or self.expected[study, series]) - self.got.keys()

        def is_wanted(identity: Identity) -> bool:
            # Whatever else a server sends may be anybody's.
            named = identity.study, identity.series
            return identity.uid in wanted and named == (study, series)

        limit = self.client.limits.instance
        arrival = Arrival(self.folder, is_wanted, limit, overwrite=self.overwrite)
        try:
            one = arrival.kept(body, size)
        except FormatError as error:
            self.problems[str(error)] = None
            return
        if one is not None:
            self._have(one)


def _length(head: dict[str, str]) -> int | None:
    text = head.get("content-length", "")
    return int(text) if text.isdecimal() else None

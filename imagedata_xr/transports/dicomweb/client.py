"""A DICOMweb server: where its resources are, and what it lists (QIDO-RS, PS3.18 section 10.6)."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from imagedata_xr.errors import DataWarning, OptionError, RejectedError, TransportError
from imagedata_xr.transports.core.http import Web
from imagedata_xr.transports.core.locator import Locator
from imagedata_xr.transports.core.part10 import is_uid
from imagedata_xr.transports.core.policy import Limits
from imagedata_xr.transports.core.selection import KEYS, Selection
from imagedata_xr.transports.dicomweb.model import values_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from imagedata_xr.transports.core.policy import Retry, Timeouts
    from imagedata_xr.transports.core.selection import Level

__all__ = ["RESOURCES", "Client", "resource", "split"]

RESOURCES: Final = ("studies", "series", "instances")
_JSON: Final = "application/dicom+json"


class Client:
    """
    A DICOMweb server.

    Parameters
    ----------
    url : str or Locator
        ``dicomweb+https://host[:port][/root][/studies[/UID[/series[/UID[/instances[/UID]]]]]]``,
        with DICOM keywords and what they must match after ``?``.
    keys : mapping of str to str, optional
        More keywords and what they must match.
    counts : bool
        Where a server says how many instances a series has, hold it to that.
    verify : bool
        Check the server's certificate.
    timeouts, retry, limits
        See `imagedata_xr.transports`.

    Raises
    ------
    OptionError
        The URL means nothing.
    """

    def __init__(  # noqa: PLR0913 - each is an option of its own
        self,
        url: str | Locator,
        *,
        keys: Mapping[str, str] | None = None,
        counts: bool = True,
        verify: bool = True,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        limits: Limits | None = None,
    ) -> None:
        given = Locator.parse(url)
        root, uids = split(given)
        self.locator = replace(given, public=len(root))
        self.root = "".join(f"/{quote(part, safe='')}" for part in root)
        self.selection = Selection(
            study=uids.get("study"),
            series=uids.get("series"),
            instance=uids.get("instance"),
            keys=(*given.options, *(keys or {}).items()),
        )
        self.counts = counts
        self.limits = limits or Limits()
        self.web = Web(self.locator, "DICOMWEB", verify=verify, timeouts=timeouts, retry=retry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.web.close()

    def rows(
        self, path: str, params: Mapping[str, str], level: Level, *, count: int | None = None
    ) -> list[dict[str, str]]:
        """
        Return what a query lists, all pages of it.

        Servers may send fewer than there are, with a warning or without: it is asked on until
        nothing new comes.

        Parameters
        ----------
        path : str
            Below the root.
        params : mapping
            Of the query.
        level : {"study", "series", "instance"}
        count : int, optional
            How many there are, where the server has said so.

        Raises
        ------
        TransportError
            The list is longer than the limits, has instances without a valid UID, or the server
            cannot send all of it.
        """
        found: dict[str, dict[str, str]] = {}
        received = 0
        while True:
            page, is_cut = self._page(path, params, received)
            before = len(found)
            named = [one for one in map(values_of, page) if is_uid(one.get(KEYS[level], ""))]
            self._check_named(len(page) - len(named), level)
            for values in named:
                found.setdefault(values[KEYS[level]], values)
            received += len(page)
            if received > self.limits.records:
                raise TransportError(
                    f"{self.locator}: lists more than {self.limits.records} entries: select less, "
                    "or allow more with limits=Limits(records=...)"
                )
            is_enough = count is not None and len(found) >= count and not is_cut
            if page and len(found) > before and not is_enough:
                continue
            if page and len(found) == before and is_cut:
                raise TransportError(
                    f"{self.locator}: the server says that there are more than it lists, and lists "
                    "no more when asked: select less"
                )
            return list(found.values())

    def _check_named(self, count: int, level: Level) -> None:
        """See that nothing is lost without a word that has no UID, or one that is a path."""
        if not count:
            return
        text = f"{self.locator}: lists {count} {level}(s) without a valid UID"
        if level == "instance":
            raise TransportError(f"{text}: they cannot be fetched")
        warnings.warn(f"{text}, which are left out", DataWarning, stacklevel=2)

    def _page(
        self, path: str, params: Mapping[str, str], offset: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return a page of a list, and whether the server says that there is more."""
        try:
            answer = self.web.request(
                "GET",
                self.root + path,
                params={**params, "offset": str(offset)} if offset else params,
                headers={"Accept": _JSON},
                accept=(200, 204, 206),
            )
        except RejectedError as error:
            if offset and error.status == 400:
                return [], False
            raise
        # PS3.18 section 8.3.4.4: 299 is the code of this warning.
        is_cut = answer.headers.get("Warning", "").lstrip().startswith("299")
        decoded = self.web.decoded(answer)
        page = [decoded] if isinstance(decoded, dict) else decoded or []
        if not isinstance(page, list) or not all(isinstance(one, dict) for one in page):
            raise RejectedError(f"{self.locator}: answers, but not as a DICOMweb server")
        return page, is_cut


def split(locator: Locator) -> tuple[tuple[str, ...], dict[str, str]]:
    """
    Return the root of a server's resources, and the UIDs that a path names.

    Raises
    ------
    OptionError
        What stands after ``studies`` is not as PS3.18 has it.
    """
    path = locator.path
    if "studies" not in path:
        return path, {}
    start = len(path) - 1 - path[::-1].index("studies")
    rest = path[start:]
    uids = rest[1::2]
    if rest[::2] != RESOURCES[: len(rest[::2])] or not all(map(is_uid, uids)):
        raise OptionError(
            f"{replace(locator, public=start)}: the path goes on as "
            "/studies/UID/series/UID/instances/UID"
        )
    return path[:start], dict(zip(("study", "series", "instance"), uids, strict=False))


def resource(*uids: str) -> str:
    """Return the path of a study, series or instance below the root."""
    return "".join(f"/{kind}/{uid}" for kind, uid in zip(RESOURCES, uids, strict=False))

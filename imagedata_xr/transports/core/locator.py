"""URLs of servers, taken apart once. No credentials, and no patient in what is shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from typing import Final

__all__ = ["Locator"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_LARGEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Locator:
    """
    The parts of a server's URL.

    It never holds credentials: they are looked up when a connection is made. As text it ends
    after its first `public` path parts, so that no patient is named in messages and logs.

    Attributes
    ----------
    scheme : str
        In lower case: ``dicom``, ``dicomweb+https``, ``xnat`` and so on.
    host : str
        Name or address, without the brackets of IPv6.
    port : int or None
    path : tuple of str
        Parts between slashes, percent-decoded. Empty ones at the end are left out, in the middle
        they stay.
    options : tuple of (str, str)
        What stands after ``?``.
    public : int
        How many parts of the path may be shown.

    Examples
    --------
    >>> place = transports.Locator.parse("dicom://pacs:104/ARCHIVE/ID-17")
    >>> place.host, place.port, place.path
    ('pacs', 104, ('ARCHIVE', 'ID-17'))
    """

    scheme: str
    host: str
    port: int | None = None
    path: tuple[str, ...] = field(default=(), repr=False)
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    public: int = field(default=1, repr=False, compare=False)

    @classmethod
    def parse(cls, url: str | Locator, *, public: int = 1) -> Locator:
        """
        Take a URL apart.

        Parameters
        ----------
        url : str or Locator
        public : int
            How many parts of the path say nothing about a patient.

        Raises
        ------
        OptionError
            It is no URL of a server, or holds a user name or password.
        """
        if isinstance(url, Locator):
            return url
        start = _SCHEME.match(url)
        if start is None:
            raise OptionError("a server is named by a URL such as dicom://host:104/AETITLE")
        scheme = start[1].lower()
        try:
            # urlsplit knows the syntax after "//" whatever the scheme is
            parts = urlsplit(url[start.end(1) + 1 :], allow_fragments=False)
            host, port = parts.hostname, parts.port
            url.encode()
        except ValueError as error:
            raise OptionError(f"{scheme}: the URL has no valid host and port: {error}") from None
        if parts.username is not None or parts.password is not None:
            raise OptionError(
                f"{scheme}://{host or ''}: a URL holds no user and no password: they end up in "
                "logs and histories. Put them into ~/.netrc or the environment"
            )
        if not host:
            raise OptionError(f"{scheme}: the URL names no host")
        path = tuple(unquote(part) for part in parts.path.strip().split("/")[1:])
        while path and not path[-1]:
            path = path[:-1]
        query = tuple(parse_qsl(parts.query, keep_blank_values=True))
        return cls(scheme, host, port, path, query, public)

    @property
    def address(self) -> str:
        """Host and port as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL: for the machine, not for messages."""
        query = f"?{urlencode(self.options)}" if self.options else ""
        path = "".join(f"/{quote(part, safe='*')}" for part in self.path)
        return f"{self.scheme}://{self.address}{path}{query}"

    def option(self, name: str, default: str | None = None) -> str | None:
        """Return the value of an option behind ``?``, the last where there are several."""
        return dict(self.options).get(name, default)

    def __str__(self) -> str:
        shown = "".join(f"/{quote(part)}" for part in self.path[: self.public])
        hidden = "/..." if len(self.path) > self.public else ""
        return f"{self.scheme}://{self.address}{shown}{hidden}"

    def __repr__(self) -> str:
        return f"<Locator {self}>"

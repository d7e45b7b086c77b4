"""Who asks: looked up when a connection is made, and kept nowhere else."""

from __future__ import annotations

import netrc
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from imagedata_xr.transports.core.locator import Locator

__all__ = ["Credentials", "credentials"]


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """
    What a server wants to know; neither shown nor pickled.

    Attributes
    ----------
    user, password : str or None
        For Basic authentication; also the alias and secret of a token of XNAT.
    token : str or None
        Bearer token.
    certificate : tuple of str
        Files of the client's certificate and, where it is in a file of its own, the key.
    """

    user: str | None = None
    password: str | None = None
    token: str | None = None
    certificate: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return "<Credentials>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are never pickled")


def credentials(locator: Locator, prefix: str) -> Credentials:
    """
    Look credentials up: in ``~/.netrc`` by host and port, then by host, then in the environment.

    Parameters
    ----------
    locator : Locator
    prefix : str
        Of the variables: ``XNAT`` for ``XNAT_USER``, ``XNAT_PASS``, ``XNAT_TOKEN``, ``XNAT_CERT``,
        ``XNAT_KEY``. Where ``XNAT_HOST`` is set, they count for that host only.

    Raises
    ------
    OptionError
        The netrc file cannot be read.
    """
    found = os.environ.get
    host = found(f"{prefix}_HOST")
    meant = not host or host.rpartition("://")[2].rstrip("/") in (locator.address, locator.host)
    certificate = tuple(filter(None, (found(f"{prefix}_CERT"), found(f"{prefix}_KEY"))))
    user, password = _netrc(locator)
    if not meant:
        return Credentials(user, password)
    if user is None:
        user, password = found(f"{prefix}_USER"), found(f"{prefix}_PASS")
    return Credentials(user, password, found(f"{prefix}_TOKEN"), certificate)


def _netrc(locator: Locator) -> tuple[str | None, str | None]:
    named = os.environ.get("NETRC")
    path = Path(named) if named else Path("~/.netrc").expanduser()
    if not path.is_file():
        return None, None
    try:
        hosts = netrc.netrc(str(path)).hosts
    except (netrc.NetrcParseError, OSError):
        # The parser's own words may quote a password.
        raise OptionError(f"{path}: cannot be read as a netrc file; only you may read it") from None
    for key in (locator.address, locator.host):
        if key in hosts:
            user, _, password = hosts[key]
            return user, password
    return None, None

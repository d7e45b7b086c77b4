"""A session of xnatpy, for all else that a server can."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import AuthenticationError, MissingDependencyError, PeerConnectionError
from imagedata_xr.transports.core.credentials import credentials
from imagedata_xr.transports.core.locator import Locator

if TYPE_CHECKING:
    from imagedata_xr.transports.core.policy import Timeouts

__all__ = ["session"]


def session(
    url: str | Locator,
    *,
    model: bool = False,
    verify: bool = True,
    timeouts: Timeouts | None = None,
) -> Any:
    """
    Return a session of `xnatpy <https://xnat.readthedocs.io>`_, with the same credentials.

    Parameters
    ----------
    url : str
        What is behind the server is left out.
    model : bool
        Generate a class for each type of the server: projects and subjects can be gone through then,
        and it takes seconds. Without it, the session makes requests only.
    verify : bool
        Check the server's certificate.
    timeouts : Timeouts, optional

    Returns
    -------
    xnat.XNATSession
        To be used in a ``with`` statement.

    Raises
    ------
    MissingDependencyError
        xnatpy is not installed.
    AuthenticationError
        The server does not let us in.
    PeerConnectionError
        It does not answer.
    """
    from imagedata_xr.transports.core.policy import Timeouts

    try:
        import xnat
        from xnat import exceptions
    except ImportError as error:
        raise MissingDependencyError(
            'a session needs xnatpy (pip install "imagedata_xr[xnat]")'
        ) from error
    locator = Locator.parse(url)
    plain = "http" if locator.scheme == "xnat+http" else "https"
    who = credentials(locator, "XNAT")
    trusted = os.environ.get("XNAT_CA") or os.environ.get("REQUESTS_CA_BUNDLE") or True
    try:
        return xnat.connect(
            f"{plain}://{locator.address}",
            user=who.user,
            password=who.password,
            verify=trusted if verify else False,
            no_parse_model=not model,
            default_timeout=(timeouts or Timeouts()).response,
            detect_redirect=False,
            loglevel="ERROR",
        )
    except (exceptions.XNATAuthError, exceptions.XNATLoginFailedError):
        raise AuthenticationError(f"{locator}: the server does not let you in") from None
    except OSError as error:
        raise PeerConnectionError(f"{locator}: no answer ({type(error).__name__})") from None

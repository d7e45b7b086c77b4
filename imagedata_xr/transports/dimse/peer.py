"""Who is spoken to, and as whom: AE titles, TLS, timeouts. Nothing secret is kept."""

from __future__ import annotations

import os
import ssl
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from imagedata_xr.errors import AuthenticationError, InsecureWarning, OptionError
from imagedata_xr.transports.core.locator import Locator
from imagedata_xr.transports.core.policy import Limits, Retry, Timeouts

__all__ = ["Peer", "Tls", "checked_title"]

_PORTS: Final = {"dicom": 104, "dicoms": 2762}
_CALLING: Final = "IMAGEDATA_XR"
_LONGEST_TITLE: Final = 16


@dataclass(frozen=True, slots=True)
class Tls:
    """
    Files for TLS; what is None is taken from the environment, then from the system.

    Attributes
    ----------
    ca : str or None
        Certificates (PEM) that are trusted; ``IMAGEDATA_XR_TLS_CA``.
    certificate, key : str or None
        Files (PEM) of the own certificate and its key, for servers that ask for one, and for the
        receiver; ``IMAGEDATA_XR_TLS_CERTIFICATE``, ``IMAGEDATA_XR_TLS_KEY``. The key is in the file
        of the certificate where it has no file of its own.
    verify : bool
        Whether the other side must show a certificate that is trusted and has its name. Without,
        anyone can pretend to be the server: this warns.

    Examples
    --------
    >>> tls = dimse.Tls(ca="hospital.pem", certificate="me.pem", key="me.key")
    >>> dimse.find("dicoms://pacs:2762/ARCHIVE", tls=tls)  # doctest: +SKIP
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)
    verify: bool = True

    def client(self) -> ssl.SSLContext:
        """Return the context for connections that are made."""
        context = self._context(ssl.Purpose.SERVER_AUTH)
        if not self.verify:
            warnings.warn(
                "TLS without verification: anyone can pretend to be the server",
                InsecureWarning,
                stacklevel=4,
            )
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return self._loaded(context)

    def server(self) -> ssl.SSLContext:
        """Return the context for connections that are taken."""
        context = self._context(ssl.Purpose.CLIENT_AUTH)
        context.verify_mode = ssl.CERT_REQUIRED if self.verify else ssl.CERT_NONE
        return self._loaded(context)

    def _context(self, purpose: ssl.Purpose) -> ssl.SSLContext:
        named = self.ca or os.environ.get("IMAGEDATA_XR_TLS_CA")
        if named is not None and not Path(named).is_file():
            raise OptionError(f"ca={named!r}: there is no such file")
        try:
            return ssl.create_default_context(purpose, cafile=named)
        except ssl.SSLError as error:
            raise OptionError(f"ca={named!r}: has no certificates ({error.reason})") from None

    def _loaded(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        certificate = self.certificate or os.environ.get("IMAGEDATA_XR_TLS_CERTIFICATE")
        key = self.key or os.environ.get("IMAGEDATA_XR_TLS_KEY")
        if certificate is not None:
            try:
                # A key with a password would ask for it at the terminal: never in a library.
                context.load_cert_chain(certificate, key, password=lambda: b"")
            except (OSError, ssl.SSLError, ValueError) as error:
                raise AuthenticationError(
                    f"certificate={certificate!r}: the certificate and its key cannot be loaded "
                    f"({type(error).__name__}): give PEM files without a password"
                ) from None
        return context


@dataclass(frozen=True, slots=True)
class Peer:
    """
    An application entity on the other side.

    Attributes
    ----------
    host : str
    port : int
    aet : str
        Its AE title.
    calling : str
        Ours.
    tls : Tls or None
    timeouts : Timeouts
    retry : Retry
    limits : Limits

    Examples
    --------
    >>> dimse.Peer.of("dicom://pacs:104/ARCHIVE?calling=ME").calling
    'ME'
    """

    host: str
    port: int
    aet: str
    calling: str = _CALLING
    tls: Tls | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: Retry = field(default_factory=Retry)
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def of(  # noqa: PLR0913 - each is an option of its own
        cls,
        url: str | Locator,
        *,
        calling: str | None = None,
        tls: Tls | None = None,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        limits: Limits | None = None,
    ) -> Peer:
        """
        Return the peer that a URL names.

        Parameters
        ----------
        url : str or Locator
            ``dicom://host:port/AET``, or ``dicoms://`` for TLS; ``?calling=AET`` names the own AE
            title, as ``IMAGEDATA_XR_AET`` in the environment does.
        calling : str, optional
        tls : Tls, optional
        timeouts : Timeouts, optional
        retry : Retry, optional
        limits : Limits, optional

        Raises
        ------
        OptionError
            The URL names no AE title, or one that cannot be.
        """
        locator = Locator.parse(url)
        if locator.scheme not in _PORTS:
            raise OptionError(f"{locator}: is not dicom:// or dicoms://")
        secure = locator.scheme == "dicoms"
        if tls is not None and not secure:
            raise OptionError(f"{locator}: tls= is for dicoms://")
        if not locator.path or not locator.path[0]:
            raise OptionError(f"{locator}: names no AE title: {locator.scheme}://host:port/AETITLE")
        own = calling or locator.option("calling") or os.environ.get("IMAGEDATA_XR_AET", _CALLING)
        return cls(
            host=locator.host,
            port=_PORTS[locator.scheme] if locator.port is None else locator.port,
            aet=checked_title(locator.path[0]),
            calling=checked_title(own),
            tls=(tls or Tls()) if secure else None,
            timeouts=timeouts or Timeouts(),
            retry=retry or Retry(),
            limits=limits or Limits(),
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"dicom{'s' if self.tls else ''}://{host}:{self.port}/{self.aet}"


def checked_title(title: str) -> str:
    """
    Return an AE title that can be one (PS3.5 section 6.2).

    Raises
    ------
    OptionError
        It is empty, too long, or has other characters.
    """
    plain = title.strip(" ")
    good = plain.isascii() and plain.isprintable() and "\\" not in plain
    if not plain or len(plain) > _LONGEST_TITLE or not good:
        raise OptionError(
            f"{title!r}: is no AE title: 1 to {_LONGEST_TITLE} ASCII characters, no backslash"
        )
    return plain

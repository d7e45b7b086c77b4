"""Requests to web servers: bounded in time and size, verified, and silent about what they carry."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

from imagedata_xr.errors import (
    AuthenticationError,
    InsecureWarning,
    MissingDependencyError,
    OptionError,
    PeerConnectionError,
    RejectedError,
    SourceNotFoundError,
    TransportError,
    WriteError,
)
from imagedata_xr.transports.core.credentials import credentials
from imagedata_xr.transports.core.deadline import adapter, socket_of, until
from imagedata_xr.transports.core.policy import Retry, Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from requests import Response, Session

    from imagedata_xr.transports.core.locator import Locator

__all__ = ["Body", "Web"]

_PASSING: Final = (429, 502, 503, 504)
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MOST_REDIRECTS: Final = 5
_PIECE: Final = 1 << 18
_LARGEST_TEXT: Final = 256 << 20
# Bytes a second: who sends less, for as long as an answer may take, keeps us on purpose.
_SLOWEST: Final = 1024
# How often as long as the next byte may take, a head or a piece of a body may.
_PATIENCE: Final = 2
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class _Quiet(logging.Filter):
    """Drop what urllib3 says of our requests: paths hold names of patients."""

    def __init__(self) -> None:
        super().__init__()
        self.local = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record may pass."""
        del record
        return not getattr(self.local, "busy", False)


_quiet = _Quiet()


@contextlib.contextmanager
def _silence(*, checked: bool) -> Iterator[None]:
    """Let nothing be said of a request but by us; that nobody checks certificates, we have said."""
    logger = logging.getLogger("urllib3.connectionpool")
    if _quiet not in logger.filters:
        logger.addFilter(_quiet)
    _quiet.local.busy = True
    try:
        # The filters of warnings are those of all threads: left alone wherever that is possible.
        with contextlib.nullcontext() if checked else warnings.catch_warnings():
            if not checked:
                warnings.filterwarnings("ignore", message="Unverified HTTPS request")
            yield
    finally:
        _quiet.local.busy = False


class Body:
    """
    What is sent with a request: bytes and files one behind the other, of known length.

    It may be iterated again, for another attempt.

    Parameters
    ----------
    *parts : bytes or Path
    """

    def __init__(self, *parts: bytes | Path) -> None:
        self._parts: Sequence[tuple[bytes | Path, int]] = tuple(
            (one, len(one) if isinstance(one, bytes) else one.stat().st_size) for one in parts
        )

    def __len__(self) -> int:
        return sum(size for _, size in self._parts)

    def __iter__(self) -> Iterator[bytes]:
        for part, size in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            left = size
            with part.open("rb") as file:
                while left and (data := file.read(min(left, _PIECE))):
                    left -= len(data)
                    yield data
            if left:
                raise WriteError(f"{part}: became shorter while it was sent")


class Web:
    """
    A server behind HTTP.

    Parameters
    ----------
    locator : Locator
        Its scheme ends in ``http`` for a connection without TLS.
    prefix : str
        Of the variables of the environment, see `credentials`. ``PREFIX_CA`` names a file of
        certificates to trust.
    verify : bool
        Check the server's certificate.
    timeouts : Timeouts
    retry : Retry
    """

    def __init__(
        self,
        locator: Locator,
        prefix: str,
        *,
        verify: bool = True,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
    ) -> None:
        self.locator = locator
        self.timeouts = timeouts or Timeouts()
        self.retry = retry or Retry()
        plain = locator.scheme.endswith("http")
        self.base = f"{'http' if plain else 'https'}://{locator.address}"
        self._session = _session(locator, prefix, plain=plain, verify=verify)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter(_PATIENCE * self.timeouts.response))

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    # Requests --------------------------------------------------------------------------------

    def request(  # noqa: PLR0913 - what a request is made of
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        accept: tuple[int, ...] = (200,),
        again: bool = True,
    ) -> Response:
        """
        Return an answer whose body has not been read yet.

        Parameters
        ----------
        method, path : str
        params, headers : mapping
        body : Body, optional
            What is sent.
        accept : tuple of int
            What is no error.
        again : bool
            Try again after what may pass.

        Raises
        ------
        AuthenticationError
            401, 403.
        SourceNotFoundError
            404.
        RejectedError
            Another status, or a redirection to another server.
        PeerConnectionError
            No answer in time, after all attempts.
        """
        pauses = self.retry.delays() if again else iter(())
        while True:
            try:
                found = self._once(method, path, params, headers, body)
                if found.status_code not in _PASSING:
                    return self._judged(found, accept)
                error: TransportError = RejectedError(
                    f"{self.locator}: the server is busy (HTTP {found.status_code})",
                    status=found.status_code,
                )
                found.close()
            except PeerConnectionError as problem:
                error = problem
            pause = next(pauses, None)
            if pause is None:
                raise error
            time.sleep(pause)

    def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: Body | None,
    ) -> Response:
        import requests

        url = self.base + path
        waits = (self.timeouts.connect, self.timeouts.response)
        for _ in range(_MOST_REDIRECTS):
            try:
                with _silence(checked=self._session.verify is not False):
                    found = self._session.request(
                        method,
                        url,
                        params=params,
                        headers=headers,
                        data=body,
                        stream=True,
                        timeout=waits,
                        allow_redirects=False,
                    )
            except requests.exceptions.SSLError:
                # No chaining here: what requests says names the whole URL.
                raise TransportError(
                    f"{self.locator}: the server's certificate is not trusted, or it speaks no TLS; "
                    "name a file of certificates to trust in the environment (..._CA)"
                ) from None
            except (requests.exceptions.RequestException, TimeoutError) as error:
                raise _lost(self.locator, error) from None
            if found.status_code not in _REDIRECTS:
                return found
            url, params = self._elsewhere(found, url, method), None
        raise RejectedError(f"{self.locator}: the server redirects without end")

    def _elsewhere(self, found: Response, url: str, method: str) -> str:
        target = urljoin(url, found.headers.get("Location", ""))
        status = found.status_code
        found.close()
        if urlsplit(target)[:2] != urlsplit(url)[:2] or method not in ("GET", "HEAD"):
            raise RejectedError(
                f"{self.locator}: the server redirects elsewhere (HTTP {status}, to "
                f"{urlsplit(target).scheme}://{urlsplit(target).hostname}): not followed, for the "
                "password would go there; use that server's own URL",
                status=status,
            )
        return target

    def _judged(self, found: Response, accept: tuple[int, ...]) -> Response:
        status = found.status_code
        if status in accept:
            return found
        found.close()
        if status in (401, 403):
            raise AuthenticationError(
                f"{self.locator}: the server does not let you in (HTTP {status}); put user and "
                "password into ~/.netrc or the environment, or ask for the right"
            )
        if status == 404:
            raise SourceNotFoundError(f"{self.locator}: the server has nothing there (HTTP 404)")
        raise RejectedError(f"{self.locator}: the server refuses (HTTP {status})", status=status)

    # Answers ---------------------------------------------------------------------------------

    def pieces(self, found: Response, limit: int) -> Iterator[bytes]:
        """
        Yield the body of an answer.

        Raises
        ------
        PeerConnectionError
            It ends too early, or trickles.
        TransportError
            It is longer than `limit`.
        """
        import requests
        import urllib3

        size = 0
        seen, since = 0, time.monotonic()
        connection = socket_of(found.raw)
        try:
            while True:
                with until(_PATIENCE * self.timeouts.response, connection):
                    piece = found.raw.read1(_PIECE, decode_content=True)
                if not piece:
                    break
                size += len(piece)
                if size > limit:
                    raise TransportError(
                        f"{self.locator}: the server sends more than {limit} bytes: not taken"
                    )
                yield piece
                now = time.monotonic()
                if now - since > self.timeouts.response:
                    if size - seen < _SLOWEST * (now - since):
                        raise PeerConnectionError(
                            f"{self.locator}: the server sends less than {_SLOWEST} bytes a second"
                        )
                    seen, since = size, now
        except (
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            TimeoutError,
        ) as error:
            raise _lost(self.locator, error) from None
        finally:
            found.close()

    def json(self, path: str, **params: str) -> Any:
        """
        Return what a JSON answer holds, None for an empty one.

        Raises
        ------
        RejectedError
            It is something else, such as a page to log in.
        """
        found = self.request(
            "GET", path, params=params, headers={"Accept": "application/json"}, accept=(200, 204)
        )
        return self.decoded(found)

    def decoded(self, found: Response) -> Any:
        """Return what the JSON body of an answer holds, None for an empty one."""
        data = b"".join(self.pieces(found, _LARGEST_TEXT))
        if not data.strip():
            return None
        try:
            return json.loads(data)
        except ValueError:
            raise self.no_data(found) from None

    def no_data(self, found: Response) -> RejectedError:
        """Return the error for an answer that is a page for people."""
        kind = found.headers.get("Content-Type", "nothing known").partition(";")[0]
        return RejectedError(
            f"{self.locator}: answers HTTP {found.status_code} with {kind} where data were asked "
            "for; is it the right address, and are you logged in?",
            status=found.status_code,
        )


def _lost(locator: Locator, error: Exception) -> PeerConnectionError:
    return PeerConnectionError(
        f"{locator}: no whole answer ({type(error).__name__}); is the server running, and does the "
        "network let you reach it?"
    )


def _session(locator: Locator, prefix: str, *, plain: bool, verify: bool) -> Session:
    try:
        import requests
    except ImportError as error:
        raise MissingDependencyError(
            f'{locator.scheme}:// needs requests (pip install "imagedata_xr[network]")'
        ) from error
    session = requests.Session()
    # Credentials and redirections are our own affair; proxies are the environment's.
    session.trust_env = False
    session.proxies = requests.utils.get_environ_proxies(f"https://{locator.address}")
    who = credentials(locator, prefix)
    if who.token is not None:
        session.headers["Authorization"] = f"Bearer {who.token}"
    elif who.user is not None:
        from requests.auth import HTTPBasicAuth

        # Bytes: requests would write text as Latin-1.
        session.auth = HTTPBasicAuth(who.user.encode(), (who.password or "").encode())
    if who.certificate:
        session.cert = (who.certificate[0], who.certificate[-1])
    if plain:
        if (who.token or who.user) and locator.host not in _LOOPBACK:
            warnings.warn(
                f"{locator}: your password goes over the network unencrypted", InsecureWarning, 3
            )
        return session
    trusted = os.environ.get(f"{prefix}_CA") or os.environ.get("REQUESTS_CA_BUNDLE")
    if trusted and not os.path.exists(trusted):  # noqa: PTH110 - a name from the environment
        raise OptionError(f"{prefix}_CA or REQUESTS_CA_BUNDLE: there is no file {trusted}")
    session.verify = trusted or True
    if not verify:
        warnings.warn(f"{locator}: the server's certificate is not checked", InsecureWarning, 3)
        session.verify = False
    return session

"""The stand-in's HTTP server: sessions, users, faults on request."""

from __future__ import annotations

import base64
import threading
import uuid
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from imagedata_xr.testing.xnat.archive import Archive
from imagedata_xr.testing.xnat.handler import Handler

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["XnatServer"]


class _Web(ThreadingHTTPServer):
    daemon_threads = True
    xnat: XnatServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing where a client hangs up."""


class XnatServer:
    """
    A stand-in for an XNAT server, used as ``with XnatServer(folder) as server``.

    Parameters
    ----------
    folder : path
        Where it keeps what it is given; a second server on it goes on with that.
    projects : tuple of str
        Projects to begin with.
    users : mapping of str to str, optional
        Names and passwords.
    readonly : tuple of str
        Users who may not edit.
    schemas : path, optional
        Folder with ``xnat.xml`` and ``xdat.xml``, the schemas of a real server; a reduced schema
        by default.
    tls : ssl.SSLContext, optional
        Speak HTTPS.
    port : int
        Any free one by default.
    change : callable, optional
        Bytes of a DICOM file to those that the archive keeps, as a site's anonymisation does.
    fault : callable, optional
        Called with the request's handler before it is answered; True means that it has answered.

    Attributes
    ----------
    log : list of (str, str)
        Method and path of each request.

    Examples
    --------
    >>> with testing.XnatServer("xnat") as server:
    ...     server.url.startswith("xnat+http://127.0.0.1:")
    True
    """

    def __init__(  # noqa: PLR0913 - what a server of a test may be
        self,
        folder: str | os.PathLike[str],
        *,
        projects: tuple[str, ...] = ("PROJECT",),
        users: dict[str, str] | None = None,
        readonly: tuple[str, ...] = (),
        schemas: str | os.PathLike[str] | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        change: Callable[[bytes], bytes] | None = None,
        fault: Callable[[Handler], bool] | None = None,
    ) -> None:
        self.archive = Archive(Path(folder))
        self.archive.change = change
        self.users = {"tester": "s3cret"} if users is None else dict(users)
        self.readonly = readonly
        self.schemas = None if schemas is None else Path(schemas)
        self.fault = fault
        self.log: list[tuple[str, str]] = []
        self._sessions: dict[str, str] = {}
        self._tokens: dict[str, tuple[str, str]] = {}
        for project in projects:
            if self.archive.root.find("projects", project) is None:
                self.archive.create(self.archive.root, "projects", project, name=project)
        self._web = _Web(("127.0.0.1", port), Handler)
        self._web.xnat = self
        if tls is not None:
            self._web.socket = tls.wrap_socket(
                self._web.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = int(self._web.server_address[1])
        self.secure = tls is not None
        self._thread = threading.Thread(target=self._web.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Its address for `imagedata_xr`."""
        return f"{'xnat' if self.secure else 'xnat+http'}://127.0.0.1:{self.port}"

    @property
    def web(self) -> str:
        """Its address for xnatpy and web browsers."""
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._web.shutdown()
        self._web.server_close()
        self._thread.join()

    # Who asks --------------------------------------------------------------------------------

    def user_of_session(self, session: str) -> str | None:
        """Return the user of a session."""
        return self._sessions.get(session)

    def user_of_header(self, authorization: str) -> str | None:
        """Return the user whom Basic authentication names, by password or alias token."""
        try:
            name, _, secret = (
                base64.b64decode(authorization.partition(" ")[2]).decode().partition(":")
            )
        except ValueError:
            return None
        if name in self._tokens and self._tokens[name][0] == secret:
            return self._tokens[name][1]
        return name if self.accepts(name, secret) else None

    def accepts(self, name: str, secret: str) -> bool:
        """Tell whether a user has this password."""
        return name in self.users and self.users[name] == secret

    def login(self, user: str) -> str:
        """Return a new session."""
        session = uuid.uuid4().hex.upper()
        self._sessions[session] = user
        return session

    def logout(self, session: str | None = None) -> None:
        """End one session, or all, as when they expire."""
        if session is None:
            self._sessions.clear()
        else:
            self._sessions.pop(session, None)

    def token(self, user: str) -> tuple[str, str]:
        """Return the alias and secret of a new token."""
        alias, secret = str(uuid.uuid4()), uuid.uuid4().hex
        self._tokens[alias] = (secret, user)
        return alias, secret

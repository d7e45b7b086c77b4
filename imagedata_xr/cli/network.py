"""Servers of images on the command line: asked, fetched from, sent to, and a receiver."""

from __future__ import annotations

import contextlib
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import OptionError, PartialWriteError
from imagedata_xr.progress import bar_class, watched
from imagedata_xr.transports import Locator, is_remote, store
from imagedata_xr.transports import fetch as fetch_all
from imagedata_xr.transports.core.outgoing import files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from imagedata_xr.transports import Instance, Manifest, Receipt

__all__ = ["Access", "echo", "fetch", "receive", "send"]

_DIMSE = ("dicom", "dicoms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """
    How to connect, in the words of the command line.

    Attributes
    ----------
    calling : str or None
        Own AE title.
    ca : str or None
        File of certificates that are trusted.
    certificate, key : str or None
        Files of the own certificate and its key.
    """

    calling: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def of(self, url: str) -> dict[str, Any]:
        """
        Return the options of the transport of a URL.

        Raises
        ------
        OptionError
            An option is for another one.
        """
        scheme = Locator.parse(url).scheme
        if scheme not in _DIMSE:
            if self != Access():
                raise OptionError(
                    "--calling_aet, --ca, --certificate and --key are for dicom(s)://"
                )
            return {}
        found: dict[str, Any] = {} if self.calling is None else {"calling": self.calling}
        if scheme == "dicoms":
            found["tls"] = self.tls()
        elif self.tls() is not None:
            raise OptionError("--ca, --certificate and --key are for dicoms://")
        return found

    def tls(self) -> Any:
        """Return what TLS needs; None where no file is given."""
        from imagedata_xr.transports.dimse import Tls

        given = Tls(ca=self.ca, certificate=self.certificate, key=self.key)
        return None if given == Tls() else given


def echo(url: str, access: Access) -> str:
    """
    Ask a DICOM server whether it is there (C-ECHO); return a line for a person.

    Raises
    ------
    TransportError
        It is not, or refuses.
    """
    if Locator.parse(url).scheme not in _DIMSE:
        raise OptionError(f"{Locator.parse(url)}: only dicom:// and dicoms:// answer to an echo")
    from imagedata_xr.transports import dimse

    seconds = dimse.echo(url, **access.of(url))
    return f"{Locator.parse(url)} answers in {1000 * seconds:.1f} ms"


def fetch(
    url: str, folder: str, access: Access, *, overwrite: bool = False, quiet: bool = False
) -> Manifest:
    """
    Copy what a server has at a URL into a folder, as stored.

    Raises
    ------
    TransportError
        Not everything came.
    """
    _require_server(url)
    options = {"overwrite": True} if overwrite else {}
    with _bar("fetching", quiet=quiet) as progress:
        return fetch_all(url, folder, progress=progress, **options, **access.of(url))


def send(
    url: str, sources: Sequence[str], access: Access, *, verify: bool = False, quiet: bool = False
) -> Receipt:
    """
    Send DICOM files to a server.

    Raises
    ------
    PartialWriteError
        Not every instance is stored.
    TransportError
        The server does not answer, or refuses.
    """
    _require_server(url)
    files = files_of(sources)
    if not files:
        raise OptionError(f"there is no file in {', '.join(sources)}")
    with _bar("sending", quiet=quiet) as progress:
        receipt = store(
            url, files, verify=verify, errors="return", progress=progress, **access.of(url)
        )
    if not len(receipt):
        raise OptionError(f"there is no DICOM file in {', '.join(sources)}")
    return receipt


def problem_of(url: str, receipt: Receipt) -> str:
    """Return what a person must know of instances that are not stored; empty where all are."""
    try:
        receipt.raise_unless_complete(Locator.parse(url))
    except PartialWriteError as error:
        return str(error).rpartition("\n")[0]
    return ""


def receive(  # noqa: PLR0913 - each is an option of its own
    port: int,
    folder: str,
    access: Access,
    *,
    host: str = "",
    allowed: Sequence[str] = (),
    secure: bool = False,
    overwrite: bool = False,
    told: Callable[[Instance], object] | None = None,
) -> Manifest:
    """
    Take what is sent to a port until the process is told to end (SIGINT, SIGTERM).

    Raises
    ------
    PeerConnectionError
        The port cannot be had.
    """
    from imagedata_xr.transports import dimse

    if access.tls() is not None and not secure:
        raise OptionError("--ca, --certificate and --key are for --tls")
    stop = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        stop.set()

    before = {sign: signal.signal(sign, end) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        return dimse.receive(
            port,
            folder,
            stop=stop,
            aet=access.calling or "IMAGEDATA_XR",
            host=host,
            calling=allowed,
            tls=(access.tls() or dimse.Tls()) if secure else None,
            overwrite=overwrite,
            notify=told,
        )
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def _require_server(url: str) -> None:
    if not is_remote(url):
        raise OptionError(f"{url} is no URL of a server, such as dicom://host:104/AETITLE")


@contextlib.contextmanager
def _bar(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], object] | None]:
    """Give what a transport tells of its progress to, where a person is looking."""
    if quiet or not watched():
        yield None
        return
    with bar_class()(desc=what, delay=1.0, leave=False, unit="file") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show

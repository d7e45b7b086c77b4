"""A DICOMweb server on loopback, for tests of whoever talks to one: it also fails as told."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import Self

    from pydicom import Dataset

__all__ = ["DicomwebServer"]

_ROOT: Final = "/dicom-web"
_PATH: Final = re.compile(
    r"/studies(?:/([0-9.]+))?(?:/series(?:/([0-9.]+))?)?(?:/instances(?:/([0-9.]+))?)?"
)
_LEVELS: Final = {
    "studies": (
        "StudyInstanceUID",
        (
            "PatientID",
            "PatientName",
            "PatientSex",
            "StudyDate",
            "StudyDescription",
            "AccessionNumber",
        ),
    ),
    "series": ("SeriesInstanceUID", ("Modality", "SeriesNumber", "SeriesDescription")),
    "instances": ("SOPInstanceUID", ("SOPClassUID", "InstanceNumber")),
}
_UIDS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


@dataclass
class DicomwebServer:
    """
    A DICOMweb server: QIDO-RS, WADO-RS as stored, STOW-RS, for as much as tests need.

    >>> with DicomwebServer() as server:
    ...     server.url.startswith("dicomweb+http://127.0.0.1:")
    True

    Attributes
    ----------
    users : dict of str to str
        Names and passwords; with neither these nor tokens, everybody may ask.
    tokens : tuple of str
        Bearer tokens.
    tls : ssl.SSLContext, optional
        Makes it an HTTPS server.
    fault : callable, optional
        Called with the handler before each answer; where it returns True, it has answered.
    most : int
        Entries of a page of a list.
    warns : bool
        Tell with a warning that a list is cut.
    refused : dict of str to int
        SOP Instance UIDs that it does not store, and the failure reason.
    changed : dict of str to int
        SOP Instance UIDs that it stores with a warning, and the reason.
    files : dict of str to bytes
        What it keeps, by SOP Instance UID.
    log : list of (str, str)
        Methods and paths of the requests.
    headers : dict of str to pydicom.Dataset
        Of what it keeps, by SOP Instance UID.
    port : int
        Where it listens; by default the system chooses.
    """

    users: dict[str, str] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None
    fault: Callable[[Handler], bool] | None = None
    most: int = 1000
    warns: bool = False
    refused: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, Dataset] = field(default_factory=dict)
    port: int = 0

    def __enter__(self) -> Self:
        self._web = _Web(("127.0.0.1", self.port), Handler)
        self._web.owner = self
        self.port = int(self._web.server_address[1])
        if self.tls is not None:
            self._web.socket = self.tls.wrap_socket(
                self._web.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._web.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._web.shutdown()
        self._web.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Its address."""
        return f"dicomweb+{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{_ROOT}"

    def add(self, paths: Iterable[Path]) -> Self:
        """Keep files."""
        for path in paths:
            self.keep(path.read_bytes())
        return self

    def keep(self, data: bytes) -> Dataset:
        """Keep a file, and return its header."""
        from pydicom import dcmread

        header = dcmread(io.BytesIO(data), stop_before_pixels=True)
        self.files[str(header.SOPInstanceUID)] = data
        self.headers[str(header.SOPInstanceUID)] = header
        return header

    def knows(self, authorization: str) -> bool:
        """Tell whether an ``Authorization`` header lets in."""
        if not self.users and not self.tokens:
            return True
        kind, _, value = authorization.partition(" ")
        if kind == "Bearer":
            return value in self.tokens
        try:
            name, _, secret = base64.b64decode(value).decode().partition(":")
        except ValueError:
            return False
        return kind == "Basic" and self.users.get(name) == secret

    def found(self, **wanted: str) -> list[Dataset]:
        """Return the headers of which these values are equal."""
        return [
            one
            for one in self.headers.values()
            if all(str(one.get(key, "")) == value for key, value in wanted.items())
        ]


class _Web(ThreadingHTTPServer):
    daemon_threads = True
    owner: DicomwebServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are what tests are about."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    @property
    def owner(self) -> DicomwebServer:
        """The server."""
        return self.server.owner  # type: ignore[attr-defined,no-any-return]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Print nothing."""

    def answer(
        self, status: int, body: bytes | str = b"", kind: str = "text/plain", **headers: str
    ) -> None:
        """Send an answer of known length."""
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(data)))
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def json(self, value: Any, status: int = 200, *, warning: str = "") -> None:
        """Send a value of the DICOM JSON model."""
        more = {"Warning": warning} if warning else {}
        self.answer(status, json.dumps(value), "application/dicom+json", **more)

    def do_GET(self) -> None:
        """Answer any request."""
        parts = urlsplit(self.path)
        self.owner.log.append((self.command, self.path))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = _PATH.fullmatch(unquote(parts.path).removeprefix(_ROOT))
        if not self.owner.knows(self.headers.get("Authorization", "")):
            self.answer(401, WWW_Authenticate='Basic realm="tests"')
        elif self.owner.fault is not None and self.owner.fault(self):
            pass
        elif found is None:
            self.answer(404, "<html>nothing here</html>", "text/html")
        elif self.command == "POST":
            self.store()
        else:
            uids = {k: v for k, v in zip(_UIDS, found.groups(), strict=True) if v}
            last = parts.path.rstrip("/").rpartition("/")[2]
            if last in _LEVELS:
                self.query(last, uids, dict(parse_qsl(parts.query)))
            else:
                self.retrieve(uids)

    do_POST = do_GET  # noqa: N815

    def query(self, level: str, uids: Mapping[str, str], asked: dict[str, str]) -> None:
        """Answer QIDO-RS."""
        offset = int(asked.pop("offset", "0"))
        asked.pop("includefield", None)
        key, keywords = _LEVELS[level]
        groups: dict[str, list[Dataset]] = {}
        for one in self.owner.found(**uids, **asked):
            groups.setdefault(str(one[key].value), []).append(one)
        rows = [_row(uid, key, keywords, ones) for uid, ones in groups.items()]
        page = rows[offset : offset + self.owner.most]
        is_cut = offset + len(page) < len(rows)
        warning = '299 : "The number of results exceeded the maximum"'
        self.json(page, warning=warning if is_cut and self.owner.warns else "")

    def retrieve(self, uids: Mapping[str, str]) -> None:
        """Answer WADO-RS."""
        found = self.owner.found(**uids)
        if not found:
            self.answer(404)
            return
        self.multipart([self.owner.files[str(one.SOPInstanceUID)] for one in found])

    def multipart(self, files: list[bytes], *, cut: int | None = None, **head: str) -> None:
        """Send files as parts, or the first bytes of that."""
        boundary = uuid.uuid4().hex
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items())
        body = b"".join(
            f"--{boundary}\r\nContent-Type: application/dicom\r\n{more}\r\n".encode()
            + data
            + b"\r\n"
            for data in files
        )
        body += f"--{boundary}--\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        self.answer(200, body[:cut], kind)

    def store(self) -> None:
        """Answer STOW-RS."""
        boundary = self.headers["Content-Type"].rpartition("boundary=")[2].strip('"').encode()
        stored, failed = [], []
        for part in (b"\r\n" + self.body).split(b"\r\n--" + boundary)[1:-1]:
            data = part.partition(b"\r\n\r\n")[2]
            uid = str(self.parsed(data).SOPInstanceUID)
            item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
            if uid in self.owner.refused:
                reason = {"vr": "US", "Value": [self.owner.refused[uid]]}
                failed.append({**item, "00081197": reason})
                continue
            self.owner.keep(data)
            if uid in self.owner.changed:
                item["00081196"] = {"vr": "US", "Value": [self.owner.changed[uid]]}
            stored.append(item)
        answer = {}
        if stored:
            answer["00081199"] = {"vr": "SQ", "Value": stored}
        if failed:
            answer["00081198"] = {"vr": "SQ", "Value": failed}
        status = 200 if not failed else 202 if stored else 409
        self.json(answer, status)

    def parsed(self, data: bytes) -> Dataset:
        """Return the header of a file."""
        from pydicom import dcmread

        return dcmread(io.BytesIO(data), stop_before_pixels=True)


def _row(uid: str, key: str, keywords: tuple[str, ...], ones: list[Dataset]) -> dict[str, Any]:
    from pydicom import Dataset

    row = Dataset()
    setattr(row, key, uid)
    for keyword in keywords:
        if keyword in ones[0]:
            setattr(row, keyword, ones[0][keyword].value)
    if key == "StudyInstanceUID":
        row.NumberOfStudyRelatedSeries = len({one.SeriesInstanceUID for one in ones})
    if key == "SeriesInstanceUID":
        row.NumberOfSeriesRelatedInstances = len(ones)
    found: dict[str, Any] = row.to_json_dict()
    return found

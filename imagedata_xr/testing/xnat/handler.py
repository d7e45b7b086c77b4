"""What the stand-in answers to each request."""

from __future__ import annotations

import csv
import fnmatch
import http.cookies
import io
import json
import re
import tarfile
import time
import zipfile
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

from imagedata_xr.testing.xnat.archive import KINDS, Problem
from imagedata_xr.testing.xnat.rows import item, row, waiting
from imagedata_xr.testing.xnat.schemas import SCHEMAS

if TYPE_CHECKING:
    from imagedata_xr.testing.xnat.archive import Archive, Node
    from imagedata_xr.testing.xnat.server import XnatServer

__all__ = ["Handler"]

_PREFIX: Final = re.compile(r"/(REST|data/archive|data)(?=/)")
_SCHEMA: Final = re.compile(r"/xapi/schemas/(\w+)(?:/\w+)?")
_PREARCHIVE: Final = re.compile(r"/data/prearchive/projects/([^/]+/[\d_]+/[^/]+)(/scans)?")
_PIECE: Final = 1 << 16


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "Apache-Coyote/1.1"
    timeout = 60
    query: dict[str, str]
    user: str | None = None
    session: str | None = None

    @property
    def xnat(self) -> XnatServer:
        """The server."""
        found: XnatServer = self.server.xnat  # type: ignore[attr-defined]
        return found

    @property
    def archive(self) -> Archive:
        """What the server keeps."""
        return self.xnat.archive

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Print nothing."""

    # Answers ---------------------------------------------------------------------------------

    def answer(
        self, status: int, body: bytes | str = b"", kind: str = "text/plain", **headers: str
    ) -> None:
        """Send an answer of known length."""
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if self.session is not None:
            now = int(time.time() * 1000)
            self.send_header("Set-Cookie", f'SESSION_EXPIRATION_TIME="{now},900000"; Path=/')
            self.send_header("Set-Cookie", f"JSESSIONID={self.session}; Path=/; HttpOnly")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def json(self, value: Any) -> None:
        """Send a value."""
        self.answer(200, json.dumps(value), "application/json")

    def table(self, rows: list[dict[str, str]]) -> None:
        """Send rows, as JSON or CSV, with the columns that were asked for."""
        wanted = [one for one in self.query.get("columns", "").split(",") if one]
        # Listings of files do not know the parameter.
        if wanted and rows and "digest" not in rows[0]:
            rows = [
                {key: one.get(key, "") for key in [*wanted, "URI"]} if "URI" in one else one
                for one in rows
            ]
        if self.query.get("format") == "csv":
            text = io.StringIO()
            names = list(rows[0]) if rows else wanted
            writer = csv.DictWriter(text, names, quoting=csv.QUOTE_ALL, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
            self.answer(200, text.getvalue(), "text/csv")
            return
        self.json({"ResultSet": {"Result": rows, "totalRecords": str(len(rows))}})

    def page(self, status: int, message: str, **headers: str) -> None:
        """Send an error as a page, as Restlet does."""
        text = f"<html>\n<head><title>Status page</title></head>\n<body><h3>{message}</h3></body></html>"
        self.answer(status, text, "text/html", **headers)

    def body(self) -> bytes:
        """Read what the client sends."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(data)

    # Requests --------------------------------------------------------------------------------

    def do_GET(self) -> None:
        """Answer any request."""
        parts = urlsplit(self.path)
        given = parse_qs(parts.query, keep_blank_values=True)
        self.query = {key: values[-1] for key, values in given.items()}
        self.xnat.log.append((self.command, self.path))
        data = self.body()
        try:
            if not self._known():
                self.page(401, "Login attempt failed. Please try again.")
            elif self.xnat.fault is None or not self.xnat.fault(self):
                with self.archive.lock:
                    self._route(parts.path, data)
        except Problem as problem:
            self.page(problem.status, str(problem))

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815

    def _known(self) -> bool:
        """Find out who asks; False where the password is wrong."""
        self.user = self.session = None
        cookie = http.cookies.SimpleCookie(self.headers.get("Cookie", "")).get("JSESSIONID")
        if cookie is not None and (user := self.xnat.user_of_session(cookie.value)):
            self.user, self.session = user, cookie.value
        given = self.headers.get("Authorization", "")
        if self.user is None and given.startswith("Basic "):
            self.user = self.xnat.user_of_header(given)
            if self.user is None:
                return False
            self.session = self.xnat.login(self.user)
        return True

    def _route(self, path: str, data: bytes) -> None:
        if path in ("", "/"):
            self.answer(200, "<html><body>XNAT</body></html>", "text/html")
        elif path == "/data/services/auth" and self.command in ("PUT", "POST"):
            self._login(data)
        elif self.user is None:
            self.page(401, "Login required", WWW_Authenticate='Basic realm="XNAT"')
        elif path.startswith("/xapi/") or path in _SMALL:
            self._about(path)
        elif path == "/data/services/import":
            self._import(data)
        elif path.startswith("/data/search/elements"):
            self.table([] if path.count("/") > 3 else _ELEMENTS)
        elif path.startswith("/data/prearchive/projects"):
            self._prearchive(unquote(path))
        else:
            self._tree(_PREFIX.sub("", path), data)

    def _login(self, data: bytes) -> None:
        form = parse_qs(data.decode())
        user, secret = (form.get(key, [""])[0] for key in ("username", "password"))
        if not self.xnat.accepts(user, secret):
            raise Problem(401, "Authentication failed.")
        self.session = self.xnat.login(user)
        self.answer(200, self.session)

    def _about(self, path: str) -> None:
        schema = _SCHEMA.fullmatch(path)
        if path == "/data/auth":
            self.answer(200, f"User '{self.user}' is logged in")
        elif path == "/data/JSESSION":
            if self.command == "DELETE":
                self.xnat.logout(self.session)
                self.session = None
            self.answer(200, self.session or "")
        elif path == "/data/services/tokens/issue":
            alias, secret = self.xnat.token(str(self.user))
            self.json({"alias": alias, "secret": secret, "xdatUserId": self.user})
        elif path == "/xapi/siteConfig/buildInfo":
            self.json({"version": "1.9.2.1", "buildNumber": "Manual", "buildDate": "stand-in"})
        elif path == "/xapi/schemas":
            self.json(["xnat", "xdat"])
        elif schema is not None and schema[1] in SCHEMAS:
            folder = self.xnat.schemas
            name = schema[1]
            text = SCHEMAS[name] if folder is None else (folder / f"{name}.xml").read_bytes()
            self.answer(200, text, "application/xml")
        else:
            raise Problem(404, "The server has not found anything matching the request URI")

    def _import(self, data: bytes) -> None:
        if self.user in self.xnat.readonly:
            raise Problem(403, "Illegal attempt to modify project")
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as packed:
                files = [packed.read(one) for one in packed.infolist() if not one.is_dir()]
        except zipfile.BadZipFile:
            raise Problem(400, "Unable to identify upload format.") from None
        uri = self.archive.imported(files, self.query)
        self.archive.save()
        self.answer(200, f"{uri}\r\n")

    def _prearchive(self, path: str) -> None:
        nodes = self.archive.prearchive.children
        found = _PREARCHIVE.fullmatch(path)
        if found is None:
            project = path.removeprefix("/data/prearchive/projects").strip("/")
            self.table([waiting(one) for one in nodes if one.id.startswith(project)])
            return
        node = next((one for one in nodes if one.id == found[1]), None)
        if node is None:
            raise Problem(404, "The server has not found anything matching the request URI")
        if found[2]:
            self.table([row(self.archive, one) for one in node.children])
            return
        self.table([waiting(node)])

    # The tree --------------------------------------------------------------------------------

    def _tree(self, path: str, data: bytes) -> None:
        parts = [unquote(part) for part in path.split("/") if part]
        here, rest = self._resolved(parts)
        if rest[:1] == ["files"]:
            self._files(here, "/".join(rest[1:]), data)
        elif self.command in ("PUT", "POST"):
            self._create(here[0], rest)
        elif len(rest) > 1 or (rest and rest[0] not in KINDS):
            raise Problem(404, "The server has not found anything matching the request URI")
        elif self.command == "DELETE":
            self._delete(here[0])
        elif rest:
            self.table([row(self.archive, one) for node in here for one in node.below(rest[0])])
        else:
            self.json(item(self.archive, here[0]))

    def _resolved(self, parts: list[str]) -> tuple[list[Node], list[str]]:
        """Return the nodes that a path means, and what of the path names nothing yet."""
        here = [self.archive.root]
        for place in range(0, len(parts), 2):
            pair = parts[place : place + 2]
            if len(pair) < 2 or pair[0] == "files":
                return here, parts[place:]
            kind, key = pair
            if kind == "scans" and (key == "ALL" or "," in key or "*" in key):
                found = [one for node in here for one in node.below(kind) if _chosen(one, key)]
            else:
                found = [one for node in here if (one := node.find(kind, key)) is not None][:1]
            if not found:
                return here, parts[place:]
            here = found
        return here, []

    def _create(self, here: Node, rest: list[str]) -> None:
        if self.user in self.xnat.readonly:
            raise Problem(403, "Specified user account has insufficient create privileges")
        fields = {key.rpartition("/")[2]: value for key, value in self.query.items()}
        if not rest:
            here.fields.update(fields)
            status, answer = 200, here.id
        elif len(rest) > 2 or rest[0] not in KINDS:
            raise Problem(404, "The server has not found anything matching the request URI")
        elif rest[0] == "resources":
            status, answer = 200, self.archive.resource(here, rest[1], fields.get("format", "")).id
        else:
            fields.pop("format", None)
            made = self.archive.create(here, rest[0], rest[1], **fields)
            status, answer = 201, made.id
        self.archive.save()
        self.answer(status, answer)

    def _delete(self, here: Node) -> None:
        if self.user in self.xnat.readonly:
            raise Problem(403, "User account doesn't have permission to modify this session.")
        for kind in KINDS:
            for node in [self.archive.root, *self.archive.root.below(kind)]:
                if here in node.children:
                    node.children.remove(here)
        self.archive.save()
        self.answer(200)

    # Files -----------------------------------------------------------------------------------

    def _files(self, here: list[Node], name: str, data: bytes) -> None:
        resources = [
            one
            for node in here
            for one in ([node] if node.kind == "resources" else node.below("resources"))
        ]
        if self.command in ("PUT", "POST"):
            self._upload(here[0], name, data)
        elif not name and self.query.get("format") == "zip":
            self._zip(resources)
        elif not name:
            self.table(
                [_file_row(self.archive, one, file) for one in resources for file in one.files]
            )
        else:
            holder = next((one for one in resources if name in one.files), None)
            if holder is None:
                raise Problem(404, "Unable to find file.")
            if self.command == "DELETE":
                del holder.files[name]
                self.archive.save()
                self.answer(200)
            else:
                content = self.archive.bytes_of(holder.files[name])
                self.answer(200, content, "application/octet-stream")

    def _upload(self, here: Node, name: str, data: bytes) -> None:
        if self.user in self.xnat.readonly:
            # A real server falls through to success here.
            self.answer(200)
            return
        resource = here if here.kind == "resources" else self.archive.resource(here, "NO LABEL")
        files = _unpacked(data) if self.query.get("extract") == "true" else {name: data}
        doubles = [one for one in files if one in resource.files]
        if doubles and self.query.get("overwrite") != "true":
            self.answer(200, json.dumps({"duplicates": doubles}), "text/html")
            return
        for one, content in files.items():
            self.archive.put(resource, one, content)
        self.archive.save()
        self.answer(200)

    def _zip(self, resources: list[Node]) -> None:
        if not any(one.files for one in resources):
            raise Problem(404, "Unable to find file.")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for one in resources:
                for name, file in one.files.items():
                    place = f"{_folder(self.archive, one)}/resources/{one.label}/files/{name}"
                    archive.writestr(place, self.archive.bytes_of(file))
        self.send_response(200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        data = packed.getvalue()
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


_SMALL: Final = ("/data/auth", "/data/JSESSION", "/data/version", "/data/services/tokens/issue")
_ELEMENTS: Final = [
    {"ELEMENT_NAME": name, "SINGULAR": name, "PLURAL": name, "SECURED": "true", "COUNT": "1"}
    for name in ("xnat:projectData", "xnat:subjectData", "xnat:mrSessionData", "xnat:ctSessionData")
]


def _chosen(scan: Node, key: str) -> bool:
    names = (scan.id, scan.fields.get("type", ""))
    return key == "ALL" or any(
        fnmatch.fnmatchcase(name, one) for one in key.split(",") for name in names
    )


def _unpacked(data: bytes) -> dict[str, bytes]:
    """Return the files of an uploaded archive."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            return {name: packed.read(name) for name in packed.namelist() if name[-1] != "/"}
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        files = [(one.name.removeprefix("./"), opened.extractfile(one)) for one in opened]
        return {name: file.read() for name, file in files if file is not None}


def _folder(archive: Archive, resource: Node) -> str:
    """Return where XNAT puts a resource in its ZIP archives."""
    session = archive.owner(resource, "experiments")
    scan = archive.owner(resource, "scans")
    name = session.label if session else "files"
    if scan is None:
        return name
    kind = re.sub(r"\W", "_", scan.fields.get("type", ""))
    return f"{name}/scans/{scan.id}{'-' if kind else ''}{kind}"


def _file_row(archive: Archive, resource: Node, name: str) -> dict[str, str]:
    file = resource.files[name]
    session, scan = archive.owner(resource, "experiments"), archive.owner(resource, "scans")
    place = f"/data/experiments/{session.id}" if session else "/data"
    place += f"/scans/{scan.id}" if scan else ""
    return {
        "Name": name.rpartition("/")[2],
        "Size": str(file["size"]),
        "URI": f"{place}/resources/{resource.id}/files/{quote(name)}",
        "collection": resource.label,
        "file_tags": "",
        "file_format": resource.fields.get("format", ""),
        "file_content": resource.fields.get("content", ""),
        "cat_ID": resource.id,
        "digest": file["digest"],
    }

"""What an XNAT server keeps: projects, subjects, experiments, scans, resources, files."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["KINDS", "Archive", "Node", "Problem"]

KINDS: Final = ("projects", "subjects", "experiments", "scans", "resources")
_TYPES: Final = {
    "projects": "xnat:projectData",
    "subjects": "xnat:subjectData",
    "experiments": "xnat:mrSessionData",
    "scans": "xnat:mrScanData",
    "resources": "xnat:resourceCatalog",
}
_MODALITIES: Final = {"MR": "mr", "CT": "ct", "PT": "pet"}
_NOT_IN_LABELS: Final = re.compile(r"[^\w-]")


class Problem(Exception):  # noqa: N818 - it is an answer
    """
    An answer with an HTTP status and a message.

    Attributes
    ----------
    status : int
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(eq=False)
class Node:
    """
    Anything with an identifier.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    id, label, xsi : str
        Identifier, name, and type in the schema.
    fields : dict
        Further fields.
    children : list of Node
    files : dict
        Of a resource: name to ``size``, ``digest`` (MD5) and ``path`` below the server's folder.
    """

    kind: str
    id: str
    label: str
    xsi: str
    fields: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def below(self, kind: str) -> Iterator[Node]:
        """Yield all nodes of a kind below this one; resources only where they are its own."""
        for child in self.children:
            if child.kind == kind:
                yield child
            elif kind != "resources":
                yield from child.below(kind)

    def find(self, kind: str, key: str) -> Node | None:
        """Return the node of a kind with an identifier or, where there is none, a label."""
        nodes = list(self.below(kind))
        by_id = next((node for node in nodes if node.id == key), None)
        return by_id or next((node for node in nodes if node.label == key), None)


def _node(values: dict[str, Any]) -> Node:
    return Node(**{**values, "children": [_node(child) for child in values["children"]]})


class Archive:
    """
    All that a server keeps, on disk: another server on the same folder has it too.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.change: Callable[[bytes], bytes] | None = None
        (folder / "files").mkdir(parents=True, exist_ok=True)
        self._index = folder / "index.json"
        self.root = Node("root", "", "", "")
        self.prearchive = Node("root", "", "", "")
        if self._index.exists():
            both = json.loads(self._index.read_text())
            self.root, self.prearchive = _node(both["archive"]), _node(both["prearchive"])

    def save(self) -> None:
        """Write the index, complete or not at all."""
        both = {"archive": asdict(self.root), "prearchive": asdict(self.prearchive)}
        part = self._index.with_suffix(".part")
        part.write_text(json.dumps(both))
        part.replace(self._index)

    def owner(self, node: Node, kind: str) -> Node | None:
        """Return the node of a kind that holds another one."""
        return next(
            (one for one in self.root.below(kind) if one is node or _holds(one, node)), None
        )

    def create(self, parent: Node, kind: str, key: str, **fields: str) -> Node:
        """Return a new node with its label; subjects and experiments get identifiers."""
        number = sum(1 for _ in self.root.below(kind)) + 1
        made = {"subjects": f"XR_S{number:05}", "experiments": f"XR_E{number:05}"}
        one = made.get(kind, key)
        if kind == "resources":
            one = str(uuid.uuid4().int % 10**9)
        xsi = fields.pop("xsiType", _TYPES[kind])
        node = Node(kind, one, key, xsi, fields)
        parent.children.append(node)
        return node

    def resource(self, parent: Node, label: str, kind: str = "") -> Node:
        """Return the resource of a label, made where there is none."""
        there = next(
            (one for one in parent.children if one.kind == "resources" and one.label == label), None
        )
        return there or self.create(parent, "resources", label, format=kind, content="RAW")

    def put(self, resource: Node, name: str, data: bytes) -> None:
        """Keep a file; its name on disk is nobody's choice."""
        if name.startswith("/") or ".." in name.split("/"):
            raise Problem(400, "Invalid file path")
        path = self.folder / "files" / uuid.uuid4().hex
        path.write_bytes(data)
        resource.files[name] = {
            "size": len(data),
            "digest": hashlib.md5(data, usedforsecurity=False).hexdigest(),
            "path": path.name,
        }

    def bytes_of(self, file: dict[str, Any]) -> bytes:
        """Return what a file holds."""
        return (self.folder / "files" / str(file["path"])).read_bytes()

    # Import ----------------------------------------------------------------------------------

    def imported(self, files: list[bytes], query: dict[str, str]) -> str:
        """
        Take DICOM files into the archive or the prearchive, and return the URI of the session.

        Parameters
        ----------
        files : list of bytes
        query : dict
            Parameters of the import service.

        Raises
        ------
        Problem
            As a real server answers.
        """
        found = [(one, header) for one in files if (header := _header(one)) is not None]
        # Pictures and reports among the DICOM files of an archive are passed over.
        if not found:
            raise Problem(400, "Upload did not include parsable files for session generation.")
        first = found[0][1]
        parts = query.get("dest", "").strip("/").split("/")
        named = dict(zip(parts[1::2], parts[2::2], strict=False))
        project = query.get("project") or named.get("projects", "")
        subject = query.get("subject") or named.get("subjects") or first["PatientID"]
        # As XNAT does it where it is told nothing else.
        session = query.get("session") or named.get("experiments") or first["PatientID"]
        subject, session = (_NOT_IN_LABELS.sub("_", text) for text in (subject, session))
        to_prearchive = parts[0] == "prearchive"
        if len({header["StudyInstanceUID"] for _, header in found}) > 1 and not to_prearchive:
            raise Problem(400, "Upload included files for multiple imaging sessions.")
        home = self.root.find("projects", project)
        if home is None and not to_prearchive:
            raise Problem(404, "Identified project does not exist")
        if self.change is not None:
            found = [(self.change(data), header) for data, header in found]
        if to_prearchive:
            return self._to_prearchive(project or "Unassigned", subject, session, found)
        assert home is not None
        return self._to_archive(home, subject, session, found, query.get("overwrite", ""))

    def _to_prearchive(self, project: str, subject: str, session: str, found: list[Any]) -> str:
        stamp = time.strftime("%Y%m%d_%H%M%S") + f"{uuid.uuid4().int % 1000:03}"
        node = Node(
            "experiments", f"{project}/{stamp}/{session}", session, "", {"subject": subject}
        )
        self.prearchive.children.append(node)
        self._scans(node, found)
        return f"/data/prearchive/projects/{project}/{stamp}/{session}"

    def _to_archive(
        self, project: Node, subject: str, session: str, found: list[Any], overwrite: str
    ) -> str:
        patient = project.find("subjects", subject)
        there = patient and patient.find("experiments", session)
        first = found[0][1]
        if there:
            self._check(there, found, overwrite)
        patient = patient or self.create(project, "subjects", subject)
        kind = _MODALITIES.get(first["Modality"], "otherDicom")
        day = first["StudyDate"]
        there = there or self.create(
            patient,
            "experiments",
            session,
            xsiType=f"xnat:{kind}SessionData",
            UID=first["StudyInstanceUID"],
            modality=first["Modality"],
            date=f"{day[:4]}-{day[4:6]}-{day[6:]}" if len(day) == 8 else "",
        )
        self._scans(there, found)
        return f"/data/archive/projects/{project.id}/subjects/{patient.id}/experiments/{there.id}"

    def _check(self, there: Node, found: list[Any], overwrite: str) -> None:
        """Raise where a session that exists does not take new files."""
        first = found[0][1]
        if overwrite not in ("append", "delete"):
            raise Problem(409, "Session already exists, retry with overwrite enabled")
        if there.fields.get("modality") != first["Modality"]:
            raise Problem(409, "Session already exists with a different modality")
        if overwrite == "delete":
            return
        if there.fields.get("UID") != first["StudyInstanceUID"]:
            raise Problem(409, "Session already exists with a different UID")
        for _, header in found:
            scan = there.find("scans", header["SeriesNumber"])
            if scan and scan.fields.get("UID") != header["SeriesInstanceUID"]:
                raise Problem(
                    409, "Session already contains a scan with the same number, but another UID."
                )
            if scan and f"{header['SOPInstanceUID']}.dcm" in self.resource(scan, "DICOM").files:
                raise Problem(409, "Session already contains duplicate files")

    def _scans(self, session: Node, found: list[Any]) -> None:
        for data, header in found:
            number = header["SeriesNumber"] or "1"
            scan = session.find("scans", number)
            if scan is None:
                kind = _MODALITIES.get(header["Modality"], "otherDicom")
                scan = self.create(
                    session,
                    "scans",
                    number,
                    xsiType=f"xnat:{kind}ScanData",
                    type=header["SeriesDescription"],
                    series_description=header["SeriesDescription"],
                    quality="usable",
                    UID=header["SeriesInstanceUID"],
                    modality=header["Modality"],
                )
            resource = self.resource(scan, "DICOM", "DICOM")
            self.put(resource, f"{header['SOPInstanceUID']}.dcm", data)


def _holds(node: Node, other: Node) -> bool:
    return any(child is other or _holds(child, other) for child in node.children)


_WANTED: Final = [
    "Modality",
    "PatientID",
    "SOPInstanceUID",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SeriesNumber",
    "StudyDate",
    "StudyID",
    "StudyInstanceUID",
]


def _header(data: bytes) -> dict[str, str] | None:
    """Return what XNAT files an instance by; None for what is no DICOM."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        found = dcmread(io.BytesIO(data), stop_before_pixels=True)
    except InvalidDicomError:
        return None
    return {keyword: str(found.get(keyword, "")) for keyword in _WANTED}

"""Listings and items as XNAT gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imagedata_xr.testing.xnat.archive import Archive, Node

__all__ = ["item", "row", "waiting"]


def row(archive: Archive, node: Node) -> dict[str, str]:
    """Return a node as a row of a listing."""
    project, subject, session, scan = (
        archive.owner(node, kind) for kind in ("projects", "subjects", "experiments", "scans")
    )
    named = {"ID": node.id, "label": node.label, "xsiType": node.xsi, **node.fields}
    in_project = {"project": project.id if project else ""}
    if node.kind == "projects":
        return {**named, "secondary_ID": node.id, "URI": f"/data/projects/{node.id}"}
    if node.kind == "subjects":
        return {**named, **in_project, "URI": f"/data/subjects/{node.id}"}
    if node.kind == "experiments":
        own = {"xnat:subjectassessordata/id": node.id, "URI": f"/data/experiments/{node.id}"}
        return {**named, **in_project, "subject_ID": subject.id if subject else "", **own}
    above = f"/data/experiments/{session.id}" if session else "/data"
    if node.kind == "scans":
        return {**named, "URI": f"{above}/scans/{node.id}"}
    return {
        "xnat_abstractresource_id": node.id,
        "label": node.label,
        "element_name": node.xsi,
        "cat_id": scan.id if scan else "",
        "file_count": str(len(node.files)),
        "file_size": str(sum(file["size"] for file in node.files.values())),
        "tags": "",
        "content": node.fields.get("content", ""),
        "format": node.fields.get("format", ""),
    }


def item(archive: Archive, node: Node) -> dict[str, Any]:
    """Return one node with its fields."""
    fields: dict[str, str] = {**row(archive, node), **node.fields}
    fields.pop("URI", None)
    session = archive.owner(node, "experiments")
    if node.kind == "scans" and session:
        fields["image_session_ID"] = session.id
    meta = {"xsi:type": node.xsi, "isHistory": False, "start_date": "Mon Jan 01 00:00:00 UTC 2024"}
    return {"items": [{"children": [], "meta": meta, "data_fields": fields}]}


def waiting(node: Node) -> dict[str, str]:
    """Return a session of the prearchive as a row."""
    project, stamp, name = node.id.split("/")
    unknown = dict.fromkeys(
        [
            "lastmod",
            "uploaded",
            "scan_date",
            "scan_time",
            "autoarchive",
            "prevent_anon",
            "prevent_auto_commit",
            "SOURCE",
            "visit",
            "protocol",
            "tag",
            "TIMEZONE",
        ],
        "",
    )
    return {
        "project": project,
        "timestamp": stamp,
        "name": name,
        "folderName": name,
        "subject": node.fields["subject"],
        "status": "READY",
        "url": f"/prearchive/projects/{node.id}",
        **unknown,
    }

"""As much of an XNAT schema as xnatpy needs to make its classes."""

from __future__ import annotations

from typing import Final

__all__ = ["SCHEMAS"]

# Name: base, what it is listed by, elements ("name", "name:type", "list>item:type"), attributes.
_CLASSES: Final = {
    "projectData": (
        "",
        "",
        "name type description keywords resources>resource:abstractResource",
        "ID secondary_ID active:boolean",
    ),
    "subjectData": (
        "",
        "label",
        "resources>resource:abstractResource experiments>experiment:subjectAssessorData",
        "ID project label group src",
    ),
    "experimentData": (
        "",
        "label",
        "date:date time:time duration note acquisition_site resources>resource:abstractResource",
        "ID project visit version:integer label",
    ),
    "subjectAssessorData": ("experimentData", "", "subject_ID age:float", ""),
    "imageSessionData": (
        "subjectAssessorData",
        "",
        "session_type modality scanner operator prearchivePath scans>scan:imageScanData",
        "UID",
    ),
    "imageScanData": (
        "",
        "ID",
        (
            "image_session_ID note quality condition series_description frames:integer "
            "file:abstractResource"
        ),
        "ID type UID modality",
    ),
    "abstractResource": (
        "",
        "label",
        "note",
        "label file_count:integer file_size:long",
    ),
    "resource": ("abstractResource", "", "", "URI format description content"),
    "resourceCatalog": ("resource", "", "", ""),
    **{f"{kind}SessionData": ("imageSessionData", "", "", "") for kind in ("mr", "ct", "pet")},
    **{f"{kind}ScanData": ("imageScanData", "", "", "") for kind in ("mr", "ct", "pet")},
    "otherDicomSessionData": ("imageSessionData", "", "", ""),
    "otherDicomScanData": ("imageScanData", "", "", ""),
}
_HEAD: Final = (
    '<xs:schema targetNamespace="http://nrg.wustl.edu/{0}" xmlns:{0}="http://nrg.wustl.edu/{0}" '
    'xmlns:xdat="http://nrg.wustl.edu/xdat" xmlns:xs="http://www.w3.org/2001/XMLSchema" '
    'elementFormDefault="qualified" attributeFormDefault="unqualified">'
)


def _parts(text: str, kind: str) -> str:
    found = []
    for part in text.split():
        name, _, base = part.partition(":")
        outer, _, inner = name.rpartition(">")
        optional = 'minOccurs="0"' if kind == "element" else 'use="optional"'
        if base in _CLASSES:
            base, optional = f"xnat:{base}", f'{optional} maxOccurs="unbounded"'
        else:
            base = f"xs:{base or 'string'}"
        one = f'<xs:{kind} name="{inner}" type="{base}" {optional}/>'
        if outer:
            one = f"<xs:complexType><xs:sequence>{one}</xs:sequence></xs:complexType>"
            one = f'<xs:element name="{outer}" minOccurs="0">{one}</xs:element>'
        found.append(one)
    return "".join(found)


def _class(name: str) -> str:
    base, listed, elements, attributes = _CLASSES[name]
    note = f'<xdat:element displayIdentifiers="{listed}"/>' if listed else ""
    note = f"<xs:annotation><xs:appinfo>{note}</xs:appinfo></xs:annotation>" if note else ""
    body = (
        f"<xs:sequence>{_parts(elements, 'element')}</xs:sequence>{_parts(attributes, 'attribute')}"
    )
    if base:
        body = f'<xs:extension base="xnat:{base}">{body}</xs:extension>'
        body = f"<xs:complexContent>{body}</xs:complexContent>"
    return f'<xs:complexType name="{name}">{note}{body}</xs:complexType>'


def _schema() -> str:
    elements = "".join(
        f'<xs:element name="{name[0].upper()}{name[1:]}" type="xnat:{name}"/>' for name in _CLASSES
    )
    classes = "".join(_class(name) for name in _CLASSES)
    return f"{_HEAD.format('xnat')}{elements}{classes}</xs:schema>"


SCHEMAS: Final = {"xnat": _schema(), "xdat": f"{_HEAD.format('xdat')}</xs:schema>"}

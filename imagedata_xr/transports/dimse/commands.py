"""Command sets of DIMSE messages (PS3.7 section 6.3 and annex E) as mappings of keywords."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "C_ECHO",
    "C_FIND",
    "C_GET",
    "C_MOVE",
    "C_STORE",
    "NOTHING",
    "N_ACTION",
    "N_EVENT_REPORT",
    "RESPONSE",
    "Command",
    "decoded",
    "encoded",
    "response_to",
]

Command = dict[str, Any]
"""Keywords and values: text, or int."""

# Command Fields of requests (PS3.7 section E.1); those of responses have one bit more.
C_STORE: Final = 0x0001
C_GET: Final = 0x0010
C_FIND: Final = 0x0020
C_MOVE: Final = 0x0021
C_ECHO: Final = 0x0030
N_EVENT_REPORT: Final = 0x0100
N_ACTION: Final = 0x0130
RESPONSE: Final = 0x8000
NOTHING: Final = 0x0101
"""The Command Data Set Type of a message without a data set; any other means that there is one."""
_PRESENT: Final = 0x0001

_NUMBER: Final = "US"
_UID: Final = "UI"
_TEXT: Final = "AE"
_ELEMENTS: Final = {
    0x0002: ("AffectedSOPClassUID", _UID),
    0x0003: ("RequestedSOPClassUID", _UID),
    0x0100: ("CommandField", _NUMBER),
    0x0110: ("MessageID", _NUMBER),
    0x0120: ("MessageIDBeingRespondedTo", _NUMBER),
    0x0600: ("MoveDestination", _TEXT),
    0x0700: ("Priority", _NUMBER),
    0x0800: ("CommandDataSetType", _NUMBER),
    0x0900: ("Status", _NUMBER),
    0x1000: ("AffectedSOPInstanceUID", _UID),
    0x1001: ("RequestedSOPInstanceUID", _UID),
    0x1002: ("EventTypeID", _NUMBER),
    0x1008: ("ActionTypeID", _NUMBER),
    0x1020: ("NumberOfRemainingSuboperations", _NUMBER),
    0x1021: ("NumberOfCompletedSuboperations", _NUMBER),
    0x1022: ("NumberOfFailedSuboperations", _NUMBER),
    0x1023: ("NumberOfWarningSuboperations", _NUMBER),
}
_HEAD: Final = struct.Struct("<HHI")
_SHORT: Final = struct.Struct("<H")


def encoded(command: Mapping[str, Any], *, data: bool) -> bytes:
    """
    Return a command set in implicit VR little endian, with its group length.

    Parameters
    ----------
    command : mapping of str to str or int
    data : bool
        Whether a data set follows.
    """
    known = {**command, "CommandDataSetType": _PRESENT if data else NOTHING}
    parts = []
    for element, (keyword, vr) in _ELEMENTS.items():
        if keyword not in known:
            continue
        if vr == _NUMBER:
            value = _SHORT.pack(known[keyword])
        else:
            value = known[keyword].encode("ascii")
            value += (b"\0" if vr == _UID else b" ") * (len(value) % 2)
        parts.append(_HEAD.pack(0, element, len(value)) + value)
    body = b"".join(parts)
    return _HEAD.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def decoded(data: bytes | bytearray) -> Command:
    """
    Return the values of a command set; elements that are not needed here are passed over.

    Raises
    ------
    ValueError
        It is none.
    """
    found: Command = {}
    at = 0
    while at < len(data):
        try:
            group, element, length = _HEAD.unpack_from(data, at)
        except struct.error:
            raise ValueError("a command set that ends within an element") from None
        at += _HEAD.size
        value = data[at : at + length]
        at += length
        if group or len(value) != length:
            raise ValueError("elements that no command set has")
        keyword, vr = _ELEMENTS.get(element, ("", ""))
        if not keyword or (vr == _NUMBER and length != _SHORT.size):
            continue
        if vr == _NUMBER:
            found[keyword] = _SHORT.unpack(value)[0]
        else:
            # What a UID cannot have stays visible, so that it is refused where it is looked at.
            found[keyword] = bytes(value).decode("latin-1").rstrip("\0 ")
    if "CommandField" not in found:
        raise ValueError("a command set without a command")
    return found


def response_to(request: Command, status: int) -> Command:
    """Return the response to a request, with a status."""
    answer = {
        "CommandField": request["CommandField"] | RESPONSE,
        "MessageIDBeingRespondedTo": request.get("MessageID", 0),
        "Status": status,
    }
    for keyword in ("AffectedSOPClassUID", "AffectedSOPInstanceUID", "EventTypeID"):
        if keyword in request:
            answer[keyword] = request[keyword]
    return answer

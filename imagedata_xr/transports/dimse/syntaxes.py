"""Which classes and transfer syntaxes are proposed: all that a server may have stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.transports.dimse.association import library

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["SYNTAXES", "other_classes", "proposals", "storage_classes"]

# As stored means: each in a context of its own, so that the server need not choose one for all,
# and convert. The deflated syntax is left out: it has no bound on what it becomes.
SYNTAXES: Final = tuple(
    f"1.2.840.10008.1.2{tail}"
    for tail in (
        ".1",
        "",
        ".4.50",
        ".4.51",
        ".4.57",
        ".4.70",
        ".4.80",
        ".4.81",
        ".4.90",
        ".4.91",
        ".4.92",
        ".4.93",
        ".4.201",
        ".4.202",
        ".4.203",
        ".5",
        ".2",
        ".4.100",
        ".4.101",
        ".4.102",
        ".4.103",
        ".4.104",
        ".4.105",
        ".4.106",
        ".4.107",
        ".4.108",
    )
)
_MAIN: Final = 17
_MOST: Final = 128
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
# For servers that do not say the class of an instance when asked.
_BY_MODALITY: Final = {
    "CT": ("2", "2.1", "2.2", "7"),
    "MR": ("4", "4.1", "4.2", "4.4"),
    "PT": ("128", "130", "128.1", "7"),
    "NM": ("20", "7"),
    "US": ("6.1", "3.1", "6.2", "7"),
    "CR": ("1", "7"),
    "DX": ("1.1", "1.1.1", "7"),
    "XA": ("12.1", "12.1.1", "7"),
    "RF": ("12.2", "12.2.1", "7"),
    "SEG": ("66.4",),
    "RTSTRUCT": ("481.3",),
    "RTDOSE": ("481.2",),
    "RTPLAN": ("481.5",),
    "SR": ("88.11", "88.22", "88.33", "88.34"),
}
_ANY: Final = ("2", "4", "7", "128", "6.1", "1", "20", "1.1", "12.1", "2.1", "4.1", "66.4")


def storage_classes(records: Iterable[Any]) -> set[str]:
    """Return the SOP classes of instances that were found, or those that they may have."""
    classes: set[str] = set()
    for record in records:
        uid = record.get("SOPClassUID")
        if uid:
            classes.add(uid)
        else:
            tails = _BY_MODALITY.get(record.get("Modality"), _ANY)
            classes.update(_STORAGE + tail for tail in tails)
    return classes


def other_classes(tried: set[str]) -> Iterator[set[str]]:
    """Yield all other storage classes of the standard, as many at once as an association has room for."""
    known = [str(one.abstract_syntax) for one in library().AllStoragePresentationContexts]
    left = [uid for uid in dict.fromkeys(known) if uid not in tried]
    count = _MOST // _MAIN
    for at in range(0, len(left), count):
        yield set(left[at : at + count])


def proposals(classes: Iterable[str], *, room: int = _MOST) -> list[Any]:
    """
    Return presentation contexts for classes, one a transfer syntax.

    Parameters
    ----------
    classes : iterable of str
    room : int
        How many there may be; where all do not fit, each class has fewer syntaxes.
    """
    build = library().build_context
    named = sorted(classes)
    for count in (len(SYNTAXES), _MAIN, 2):
        if len(named) * count <= room:
            break
    pairs = [(uid, syntax) for syntax in SYNTAXES[:count] for uid in named]
    return [build(*pair) for pair in pairs[:room]]

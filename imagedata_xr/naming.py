"""
Names of files, folders and groups that are made of header values.

The one place where a header becomes a name: trees of images (`xarray.open_datatree`, writing
them), results of `imagedata_xr.map_series`, and the command line, where ``dicom_sort`` places
files by a template and ``image_data`` names the files of several series. Use `Names` where
several things get names, `clean` for one text.
"""

from __future__ import annotations

import re
import string
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

__all__ = ["Names", "Unique", "clean", "fields", "plain_name"]

# Characters and UTF-8 bytes of one level: file systems take 255 bytes, suffixes come after.
_LONGEST: Final = 64
_MOST_BYTES: Final = 160
# Names that Windows keeps for devices, with any suffix.
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_FORBIDDEN: Final = re.compile(r"[^\w.+=-]+")


def clean(text: object, *, empty: str = "_") -> str:
    """
    Return a text as one level of a path, safe on every file system.

    Letters and digits of all scripts are kept. Separators, blanks, control characters and all
    else become ``_``; dots at the ends go, so that no name is hidden or leads upwards; names that
    Windows reserves begin with ``_``; long ones are cut.

    Parameters
    ----------
    text : object
        A header value. Several values are joined by ``_``.
    empty : str
        The name where nothing is left.

    Examples
    --------
    >>> naming.clean("a/b:c")
    'a_b_c'
    """
    if isinstance(text, list | tuple):
        text = "_".join(map(str, text))
    plain = unicodedata.normalize("NFC", "" if text is None else str(text))
    kept = _FORBIDDEN.sub("_", plain).strip("._")[:_LONGEST]
    while len(kept.encode(errors="replace")) > _MOST_BYTES:
        kept = kept[:-1]
    kept = kept.rstrip("._")
    if not kept:
        return empty
    return f"_{kept}" if _RESERVED.fullmatch(kept) else kept


def fields(template: str) -> tuple[str, ...]:
    """
    Return the keywords that a template names.

    Parameters
    ----------
    template : str
        Such as ``"{PatientID}/{SeriesNumber}_{SeriesDescription}"``.

    Raises
    ------
    OptionError
        It is no template, is absolute, or leads upwards.

    Examples
    --------
    >>> naming.fields("{PatientID}/{SeriesNumber:03d}")
    ('PatientID', 'SeriesNumber')
    """
    return tuple(dict.fromkeys(name for level in _levels(template) for _, name, _ in level if name))


_Part = tuple[str, "str | None", str]


def _levels(template: str) -> list[list[_Part]]:
    if not template.strip("/ ") or template.startswith(("/", "\\", "~")):
        raise OptionError(f"template {template!r}: give a relative name, such as '{{PatientID}}'")
    found = []
    for level in template.strip("/").split("/"):
        try:
            parts = list(string.Formatter().parse(level))
        except ValueError as error:
            raise OptionError(f"template {template!r}: {error}") from error
        for text, name, _, conversion in parts:
            if "\\" in text or (name is not None and not name.isidentifier()) or conversion:
                raise OptionError(
                    f"template {template!r}: {name or text!r} is no DICOM keyword; write "
                    "'{SeriesNumber}' or '{SeriesNumber:04d}'"
                )
        if not level.strip(". "):
            raise OptionError(f"template {template!r}: a level is empty or leads upwards")
        found.append([(text, name, spec or "") for text, name, spec, _ in parts])
    return found


class Unique:
    """
    Names that are given once, also on file systems that do not tell ``a`` from ``A``.

    Examples
    --------
    >>> names = naming.Unique()
    >>> names.of("a"), names.of("A")
    ('a', 'A_2')
    """

    def __init__(self) -> None:
        self._used: set[str] = set()

    def of(self, wish: str) -> str:
        """Return a name that nothing has yet: as wished, or with a number at its end."""
        name, number = wish, 2
        while name.casefold() in self._used:
            name, number = f"{wish}_{number}", number + 1
        self._used.add(name.casefold())
        return name


class Names:
    """
    Paths by a template, each given to one thing only.

    Parameters
    ----------
    template : str
        Levels separated by ``/``; DICOM keywords in braces, with a format if wanted
        (``{SeriesNumber:04d}``).

    Raises
    ------
    OptionError
        The template means nothing.

    Examples
    --------
    >>> names = Names("{PatientID}/{SeriesNumber}_{SeriesDescription}")
    >>> names.of({"PatientID": "a/../b", "SeriesNumber": 3, "SeriesDescription": "T1 *"}, key="1")
    'a_.._b/3_T1'
    >>> names.of({"PatientID": "A/../b", "SeriesNumber": 3, "SeriesDescription": "T1"}, key="2")
    'A_.._b/3_T1_2'
    """

    def __init__(self, template: str) -> None:
        self.levels = _levels(template)
        self._given: dict[Hashable, str] = {}
        self._unique = Unique()

    def of(self, values: Mapping[str, Any], *, key: Hashable) -> str:
        """
        Return the path of one thing; asked again, the same.

        Parameters
        ----------
        values : mapping
            Header values by keyword.
        key : hashable
            What tells it from others, such as its UID. Another thing whose path differs by
            nothing, or by upper and lower case only, gets a number at the end.
        """
        if key not in self._given:
            wish = "/".join(_level(parts, values) for parts in self.levels)
            self._given[key] = self._unique.of(wish)
        return self._given[key]


def _level(parts: list[_Part], values: Mapping[str, Any]) -> str:
    texts, known, asked = [], False, ""
    for text, name, spec in parts:
        texts.append(text)
        if name is None:
            continue
        value = values.get(name)
        asked = asked or name
        if value not in (None, "", []):
            known = True
            texts.append(_formatted(value, name, spec))
    empty = f"no_{asked}" if asked else "_"
    return clean("".join(texts), empty=empty) if known or not asked else empty


def _formatted(value: Any, name: str, spec: str) -> str:
    if isinstance(value, list | tuple):
        value = "_".join(map(str, value))
    try:
        return format(value, spec) if spec else str(value)
    except (ValueError, TypeError) as error:
        raise OptionError(f"template: {name} cannot be written as {spec!r}: {error}") from error


def plain_name(name: str) -> str:
    """
    Return a person's name as those who write it differently agree on it.

    That is the alphabetic group (PS3.5 section 6.2), without case, ``^`` and further blanks.

    Examples
    --------
    >>> naming.plain_name("Doe^Jane")
    'doe jane'
    """
    parts = name.partition("=")[0].casefold().replace("^", " ").split()
    return " ".join(parts) or name.casefold()

"""The two loops over a data set's top level: explicit and implicit VR (PS3.5 sections 7.1.2-3)."""

from __future__ import annotations

from imagedata_xr.formats.dicom.headers.dictionary import LONG_CODES, SHORT_TABLES, SIMPLE_KEYS, code_of
from imagedata_xr.formats.dicom.headers.walk import (
    PIXELS,
    UNDEFINED,
    CutError,
    Found,
    UnusualError,
    Window,
    explicit,
    implicit,
    skip_explicit,
    skip_implicit,
)

__all__ = ["walk_explicit", "walk_implicit"]

_UN = code_of("UN")
_TABLES = {code: table.get for code, table in SHORT_TABLES.items()}
# A private creator has an element number below 0100, which stands in the upper half of a key.
_FIRST_PRIVATE_DATA = 0x0100_0000


def walk_explicit(window: Window, i: int, found: Found) -> None:
    """
    Walk over a data set in explicit VR, up to its pixels or its end.

    Parameters
    ----------
    window : Window
    i : int
        Where the data set begins.
    found : Found
        Is filled.

    Raises
    ------
    UnusualError
        pydicom has to read it.
    FormatError
        The file ends inside an element.
    """
    data, end, base = window.data, len(window.data), 0
    elements, vrs, private = found.elements, found.vrs, found.private
    intern, tables, wanted = found.pool.setdefault, _TABLES.get, found.private.get
    tag: int | None = None
    while True:
        try:
            while True:
                tag = None
                key, code, length, length4 = explicit(data, i)
                table = tables(code)
                if table is not None:
                    i += 8
                    tag = table(key)
                    if tag is None:
                        if not key & 1:
                            tag = found.unexpected(key, code)
                        elif key < _FIRST_PRIVATE_DATA:
                            if i + length > end:
                                i -= 8
                                raise CutError
                            tag = found.creator(key, data[i : i + length])
                        elif private:
                            tag = wanted(key)
                            if tag is not None:
                                vrs[tag] = code
                elif code in LONG_CODES:
                    i += 12
                    length = length4
                    if key in PIXELS:
                        found.pixels(key, base + i, length)
                        return
                    if length == UNDEFINED:
                        if code == _UN:
                            raise UnusualError
                        found.others.append(_public(key))
                        i = skip_explicit(window, i)
                        data, end, base = window.data, len(window.data), window.base
                        continue
                    tag = found.long(key, code, length, base + i)
                else:
                    raise UnusualError
                if tag is not None:
                    value = data[i : i + length]
                    elements[tag] = intern(value, value)
                i += length
        except CutError:
            if tag is not None and i > end:
                value = window.value(i - length, length)
                elements[tag] = intern(value, value)
            ...

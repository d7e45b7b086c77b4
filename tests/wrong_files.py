"""Series that are wrong but well-formed: what is changed in them, by the row of the docs' table."""

from __future__ import annotations

import io
import warnings

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag


def dataset_of(file):
    """Return the data set of a file in memory."""
    return pydicom.dcmread(io.BytesIO(file), force=True)


def saved(dataset, **options):
    """Return a data set as a file, whatever is wrong with its values."""
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(target, **options)
    return target.getvalue()


def raw(keyword, value, vr=None):
    """Return a change that puts bytes into an element as they are."""
    tag = Tag(keyword)

    def change(file):
        dataset = dataset_of(file)
        data = value if isinstance(value, bytes) else value.encode()
        kind = vr or dictionary_VR(tag)
        dataset[tag] = RawDataElement(
            tag, kind, len(data), data, 0, is_implicit_VR=False, is_little_endian=True
        )
        return saved(dataset)

    return change


def without(*keywords):
    """Return a change that removes elements."""

    def change(file):
        dataset = dataset_of(file)
        for keyword in keywords:
            if keyword in dataset:
                del dataset[keyword]
        return saved(dataset)

    return change


def values(keyword, edit):
    """Return a change that edits the text of a value."""

    def change(file):
        text = "\\".join(map(str, dataset_of(file)[keyword].value))
        return raw(keyword, edit(text))(file)

    return change


def data_set(file):
    """Return where the data set begins."""
    return 144 + int.from_bytes(file[140:144], "little")


def said(uid):
    """Return a change of the declared transfer syntax alone."""

    def change(file):
        at = file.index(b"\2\0\x10\0UI") + 6
        old = int.from_bytes(file[at : at + 2], "little")
        new = uid.encode() + b"\0" * (len(uid) % 2)
        group = int.from_bytes(file[140:144], "little") + len(new) - old
        head = file[:140] + group.to_bytes(4, "little") + file[144:at]
        return head + len(new).to_bytes(2, "little") + new + file[at + 2 + old :]

    return change


def named(character_set, name):
    """Return a change of the patient's name, as bytes, and of the character set that is declared."""

    def change(file):
        at = file.index(b"\x08\0\5\0CS")
        end = at + 8 + int.from_bytes(file[at + 6 : at + 8], "little")
        file = file[:at] + _text(b"\x08\0\5\0CS", character_set.encode()) + file[end:]
        at = file.index(b"\x10\0\x10\0PN")
        end = at + 8 + int.from_bytes(file[at + 6 : at + 8], "little")
        return file[:at] + _text(b"\x10\0\x10\0PN", name) + file[end:]

    return change


def _text(head, value):
    value += b" " * (len(value) % 2)
    return head + len(value).to_bytes(2, "little") + value


def no_preamble(file):
    """The file begins with its file meta information."""
    return file[132:]


def no_meta(file):
    """The file begins with its data set."""
    return file[data_set(file) :]


def no_syntax(file):
    """File meta information without a transfer syntax."""
    at = file.index(b"\2\0\x10\0UI")
    length = 8 + int.from_bytes(file[at + 6 : at + 8], "little")
    group = int.from_bytes(file[140:144], "little") - length
    return file[:140] + group.to_bytes(4, "little") + file[144:at] + file[at + length :]


def wrong_meta_length(file):
    """The length of the file meta information is not that of its elements."""
    return file[:140] + (4711).to_bytes(4, "little") + file[144:]


def group_lengths(file):
    """Group lengths, retired long ago, and wrong."""
    at = data_set(file)
    element = b"\x08\0\0\0UL\4\0\xff\xff\0\0"
    return file[:at] + element + file[at:]


def odd_length(file):
    """A value of odd length, against PS3.5 7.1.1."""
    at = file.index(b"\x10\0\x10\0PN")
    length = int.from_bytes(file[at + 6 : at + 8], "little")
    name = b"Odd^Name^"
    return file[: at + 6] + len(name).to_bytes(2, "little") + name + file[at + 8 + length :]


def undefined_sequence(file):
    """A sequence and an item of undefined length."""
    at = file.index(b"\x10\0\x10\0PN")
    sequence = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    sequence += b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return file[:at] + sequence + file[at:]


def undefined_unknown(file):
    """VR UN of undefined length, which holds implicit VR (PS3.5 6.2.2)."""
    at = file.index(b"\x10\0\x10\0PN")
    unknown = b"\x09\0\x10\0LO\4\0TEST\x09\0\x01\x10UN\0\0\xff\xff\xff\xff"
    unknown += b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x10\0\x10\0\4\0\0\0A^B "
    unknown += b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return file[:at] + unknown + file[at:]


def creators(*names):
    """Return a change that adds private elements under so many creators of one name."""

    def change(file):
        dataset = dataset_of(file)
        for number, name in enumerate(names):
            dataset.add_new((0x19, 0x10 + number), "LO", name)
        dataset.add_new((0x19, 0x100C), "IS", "800")
        return saved(dataset)

    return change


def trailing(file):
    """Bytes after the data set that belong to nothing."""
    return file + b"\xff" * 100


def padded(file):
    """Zeros after the data set."""
    return file + bytes(4096)


def in_header(file):
    """The file ends in its header."""
    return file[: len(file) // 2]


def in_pixels(file):
    """The file ends in its pixels."""
    return file[:-7]


def nothing(_):
    """An empty file."""
    return b""

"""
The header of a NIfTI file: its fields, checked before anything is made of them.

Fields have the names of nifti1.h and nifti2.h (https://nifti.nimh.nih.gov/pub/dist/src/niftilib).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import DataWarning, FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LONGEST", "NiftiHeader", "is_header", "parse_header", "with_matrix"]

NIFTI1: Final = np.dtype(
    [
        ("sizeof_hdr", "i4"),
        ("unused", "V35"),
        ("dim_info", "u1"),
        ("dim", "i2", (8,)),
        ("intent_p", "f4", (3,)),
        ("intent_code", "i2"),
        ("datatype", "i2"),
        ("bitpix", "i2"),
        ("slice_start", "i2"),
        ("pixdim", "f4", (8,)),
        ("vox_offset", "f4"),
        ("scl_slope", "f4"),
        ("scl_inter", "f4"),
        ("slice_end", "i2"),
        ("slice_code", "u1"),
        ("xyzt_units", "u1"),
        ("cal_max", "f4"),
        ("cal_min", "f4"),
        ("slice_duration", "f4"),
        ("toffset", "f4"),
        ("glmax", "i4"),
        ("glmin", "i4"),
        ("descrip", "S80"),
        ("aux_file", "S24"),
        ("qform_code", "i2"),
        ("sform_code", "i2"),
        ("quatern", "f4", (3,)),
        ("qoffset", "f4", (3,)),
        ("srow", "f4", (3, 4)),
        ("intent_name", "S16"),
        ("magic", "V4"),
    ]
)
NIFTI2: Final = np.dtype(
    [
        ("sizeof_hdr", "i4"),
        ("magic", "V8"),
        ("datatype", "i2"),
        ("bitpix", "i2"),
        ("dim", "i8", (8,)),
        ("intent_p", "f8", (3,)),
        ("pixdim", "f8", (8,)),
        ("vox_offset", "i8"),
        ("scl_slope", "f8"),
        ("scl_inter", "f8"),
        ("cal_max", "f8"),
        ("cal_min", "f8"),
        ("slice_duration", "f8"),
        ("toffset", "f8"),
        ("slice_start", "i8"),
        ("slice_end", "i8"),
        ("descrip", "S80"),
        ("aux_file", "S24"),
        ("qform_code", "i4"),
        ("sform_code", "i4"),
        ("quatern", "f8", (3,)),
        ("qoffset", "f8", (3,)),
        ("srow", "f8", (3, 4)),
        ("slice_code", "i4"),
        ("xyzt_units", "i4"),
        ("intent_code", "i4"),
        ("intent_name", "S16"),
        ("dim_info", "u1"),
        ("unused", "V15"),
    ]
)
LONGEST: Final = NIFTI2.itemsize
# Magic to the layout, and whether the voxels are in the same file.
MAGIC: Final = {
    b"n+1\0": (NIFTI1, True),
    b"ni1\0": (NIFTI1, False),
    b"n+2\0\r\n\x1a\n": (NIFTI2, True),
    b"ni2\0\r\n\x1a\n": (NIFTI2, False),
}
MAGIC_AT: Final = {NIFTI1: 344, NIFTI2: 4}
# Colour types (DT_RGB24, DT_RGBA32) are bytes, so many a voxel.
COLOURS: Final = {128: 3, 2304: 4}
TYPES: Final = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    32: "c8",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
    1792: "c16",
}
LONG_TYPES: Final = {1536: "f16", 2048: "c32"}
MM_OF_UNIT: Final = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 1e-3}
SECONDS_OF_UNIT: Final = {8: 1.0, 16: 1e-3, 24: 1e-6}
MOST_AXES: Final = 7


@dataclass(frozen=True, slots=True, eq=False)
class NiftiHeader:
    """
    What a header says.

    Attributes
    ----------
    shape : tuple of int
        ``dim[1]`` to ``dim[dim[0]]``, i first; at least three.
    pixdim : tuple of float
        ``pixdim[0]`` to ``pixdim[7]``.
    dtype : dtype
        Of a stored number, in the byte order of the file.
    parts : int
        Numbers a voxel: 3 or 4 for colours, else 1.
    offset : int
        ``vox_offset``.
    single : bool
        The voxels are in the same file.
    slope, inter : float
        ``scl_slope`` and ``scl_inter``; 1 and 0 where they mean nothing.
    mm : float
        Millimetres in the unit of space.
    seconds : float or None
        Seconds in the unit of axis 4; None where it is not time.
    fields : numpy.void
        All of it.
    """

    shape: tuple[int, ...]
    pixdim: tuple[float, ...]
    dtype: np.dtype[Any]
    parts: int
    offset: int
    single: bool
    slope: float
    inter: float
    mm: float
    seconds: float | None
    fields: Any

    @property
    def length(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.parts * self.dtype.itemsize

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a field of the header as float64."""
        return np.asarray(self.fields[name], dtype=np.float64)

    def text(self, name: str) -> str:
        """Return a text of the header."""
        return bytes(self.fields[name]).split(b"\0")[0].decode("latin-1").strip()


def is_header(head: bytes) -> bool:
    """Tell whether bytes begin as a NIfTI header does: ``sizeof_hdr`` and ``magic``."""
    return _layout(head) is not None


def _layout(head: bytes) -> tuple[np.dtype[Any], bool] | None:
    """Return the layout in the byte order of the file, and whether the voxels follow."""
    for magic, (layout, single) in MAGIC.items():
        at = MAGIC_AT[layout]
        if len(head) >= layout.itemsize and head[at : at + len(magic)] == magic:
            for swapped in (layout.newbyteorder("<"), layout.newbyteorder(">")):
                if int(np.frombuffer(head, swapped["sizeof_hdr"], 1)[0]) == layout.itemsize:
                    return swapped, single
    return None


def parse_header(head: bytes, name: str) -> NiftiHeader:
    """
    Return the checked header.

    Parameters
    ----------
    head : bytes
        The first bytes of the file, `LONGEST` of them if it has as many.
    name : str
        Of the file, for messages.

    Raises
    ------
    FormatError
        It is no NIfTI header, or says what cannot be.

    Warns
    -----
    DataWarning
        ``bitpix`` contradicts ``datatype``.
    """
    found = _layout(head)
    if found is None:
        raise FormatError(f"{name}: no NIfTI header: {_what_else(head)}")
    layout, single = found
    fields = np.frombuffer(head, layout, 1)[0]
    dtype, parts = _voxel(int(fields["datatype"]), layout, name)
    if int(fields["bitpix"]) != 8 * parts * dtype.itemsize:
        warnings.warn(
            f"{name}: bitpix is {fields['bitpix']}, but datatype {fields['datatype']} has "
            f"{8 * parts * dtype.itemsize} bits: datatype is taken",
            DataWarning,
            stacklevel=2,
        )
    units = int(fields["xyzt_units"])
    slope, inter = _scale(float(fields["scl_slope"]), float(fields["scl_inter"]), name)
    return NiftiHeader(
        shape=_shape(fields["dim"].tolist(), name),
        pixdim=tuple(float(v) for v in fields["pixdim"]),
        dtype=dtype,
        parts=parts,
        offset=_offset(float(fields["vox_offset"]), layout, name, single=single),
        single=single,
        slope=slope if parts == 1 else 1.0,
        inter=inter if parts == 1 else 0.0,
        mm=MM_OF_UNIT.get(units & 7, 1.0),
        seconds=SECONDS_OF_UNIT.get(units & 56),
        fields=fields,
    )


def with_matrix(header: NiftiHeader, matrix: NDArray[np.float64] | None) -> NiftiHeader:
    """
    Return a header whose sform is a matrix in float64; None: that has no place.

    Parameters
    ----------
    header : NiftiHeader
    matrix : ndarray of float, shape (4, 4), or None
        Takes voxel indices (i, j, k, 1) to RAS, in the unit of the header.
    """
    fields = np.zeros((), NIFTI2)
    for name in set(NIFTI2.names or ()) & set(header.fields.dtype.names) - {"magic", "unused"}:
        fields[name] = header.fields[name]
    if matrix is None:
        fields["qform_code"] = fields["sform_code"] = 0
    else:
        fields["sform_code"] = max(int(fields["sform_code"]), 1)
        fields["srow"] = matrix[:3]
    return replace(header, fields=fields[()])


def _what_else(head: bytes) -> str:
    sizes = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    if not sizes & {NIFTI1.itemsize, NIFTI2.itemsize}:
        return f"sizeof_hdr is neither {NIFTI1.itemsize} nor {NIFTI2.itemsize}"
    if len(head) < NIFTI1.itemsize:
        return f"the file ends after {len(head)} bytes"
    return "magic is not n+1, ni1, n+2 or ni2 (ANALYZE 7.5 has none, and no orientation)"


def _shape(dim: list[int], name: str) -> tuple[int, ...]:
    count = dim[0]
    if not 1 <= count <= MOST_AXES:
        raise FormatError(f"{name}: dim[0] is {count}, not 1 to {MOST_AXES}")
    sizes = dim[1 : count + 1]
    if min(sizes) < 1:
        raise FormatError(f"{name}: dim is {sizes}: there are no voxels")
    return tuple(sizes) + (1,) * (3 - count)


def _voxel(code: int, layout: np.dtype[Any], name: str) -> tuple[np.dtype[Any], int]:
    """Return the type of a stored number, and how many a voxel has."""
    if code in COLOURS:
        return np.dtype("u1"), COLOURS[code]
    kind = TYPES.get(code)
    if code in LONG_TYPES and np.dtype(np.longdouble).itemsize == 16:
        kind = LONG_TYPES[code]
    if kind is None:
        raise FormatError(f"{name}: datatype {code} is not known, or not on this computer")
    stored = np.dtype(kind)
    return stored if layout["sizeof_hdr"].isnative else stored.newbyteorder("S"), 1


def _offset(value: float, layout: np.dtype[Any], name: str, *, single: bool) -> int:
    least = layout.itemsize + 4 if single else 0
    if not (math.isfinite(value) and value.is_integer() and value >= least):
        raise FormatError(f"{name}: vox_offset is {value:g}, not a whole number from {least} up")
    return int(value)


def _scale(slope: float, inter: float, name: str) -> tuple[float, float]:
    # nifti1.h: a slope of zero means no scaling.
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(inter):
        raise FormatError(f"{name}: scl_inter is {inter} where scl_slope is {slope:g}")
    return slope, inter

"""Gradient directions that a scanner counts along the axes of the image, turned into the patient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagedata_xr.formats.dicom.vendors.raw import unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagedata_xr.formats.dicom.vendors.raw import Readable, Vector

__all__ = ["from_image_axes", "from_logical_axes"]

# Of planes near the sagittal, coronal and transverse one: parts along columns, rows and normal.
_SIGNS = {
    "COL": ((1, 1, -1), (-1, 1, 1), (-1, -1, 1)),
    "ROW": ((1, -1, -1), (1, 1, 1), (-1, 1, 1)),
}


def from_image_axes(header: Readable, along: Sequence[float]) -> Vector | None:
    """
    Return a direction in patient LPS from its parts along the axes of the image.

    Parameters
    ----------
    header : Readable
        Gives Image Orientation (Patient).
    along : sequence of float
        Parts along increasing column index, increasing row index, and their cross product.
    """
    axes = _axes(header)
    if axes is None or len(along) != 3:
        return None
    return unit(
        [sum(part * axis[k] for part, axis in zip(along, axes, strict=True)) for k in range(3)]
    )


def from_logical_axes(header: Readable, along: Sequence[float]) -> Vector | None:
    """
    Return a direction in patient LPS from its parts along frequency, phase and slice encoding.

    The scanner's axes stand to those of the image as dcm2niix has them (v1.0.20260724): their
    signs depend on the plane that is nearest, and frequency and phase change places where phase
    encoding runs along the row.

    Parameters
    ----------
    header : Readable
        Gives Image Orientation (Patient) and In-plane Phase Encoding Direction (0018,1312).
    along : sequence of float
        Parts along the frequency, phase and slice axes of a scan with phase encoding along the
        column.
    """
    axes = _axes(header)
    phase = str(header.get("InPlanePhaseEncodingDirection") or "").strip().upper()
    if axes is None or len(along) != 3 or phase[:3] not in ("COL", "ROW"):
        return None
    normal = [abs(part) for part in axes[2]]
    signs = _SIGNS[phase[:3]][normal.index(max(normal))]
    x, y, z = along
    turned = (x, y, z) if phase[:3] == "COL" else (y, x, z)
    return from_image_axes(header, [s * part for s, part in zip(signs, turned, strict=True)])


def _axes(header: Readable) -> tuple[Vector, Vector, Vector] | None:
    cosines = header.get("ImageOrientationPatient")
    if not isinstance(cosines, tuple) or len(cosines) != 6:
        return None
    if not all(isinstance(number, int | float) for number in cosines):
        return None
    across = unit([float(number) for number in cosines[:3]])
    down = unit([float(number) for number in cosines[3:]])
    if across is None or down is None:
        return None
    a, b = across, down
    normal = unit((a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]))
    return None if normal is None else (across, down, normal)

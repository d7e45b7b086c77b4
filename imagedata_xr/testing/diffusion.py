"""Diffusion weighting in the headers of the standard and of each vendor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.testing.decimals import decimal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset

    from imagedata_xr.testing.phantom import Phantom
    from imagedata_xr.testing.placement import Array

__all__ = ["add_diffusion"]

SIEMENS = "SIEMENS MR HEADER"
GE_OFFSET = 1_000_000_000
# of frequency (here along the row), phase and slice encoding in sagittal, coronal, axial planes;
# dcm2niix reads them so, and calls planes other than axial hardly validated
GE_SIGNS = ((1, 1, -1), (-1, 1, 1), (-1, -1, 1))


def add_diffusion(
    dataset: Dataset,
    phantom: Phantom,
    b: float,
    vector: Sequence[float] | None,
) -> None:
    """
    Put a b value and a gradient direction into a header, the way the phantom's vendor does.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The header.
    phantom : Phantom
        The series, for its vendor and orientation.
    b : float
        b value, s/mm2.
    vector : sequence of float or None
        Unit vector in patient LPS; None of a trace image and of b = 0.
    """
    writers: dict[str, Any] = {
        "siemens": _siemens,
        "ge": _ge,
        "ge_plain": _ge,
        "philips": _philips,
        "uih": _uih,
    }
    direction = None if vector is None or b == 0 else np.asarray(vector, dtype=float)
    writers.get(phantom.vendor, _standard)(dataset, phantom, b, direction)


def _standard(dataset: Dataset, _: Phantom, b: float, direction: Any) -> None:
    dataset.DiffusionBValue = float(b)
    undirected = "ISOTROPIC" if b else "NONE"
    dataset.DiffusionDirectionality = undirected if direction is None else "DIRECTIONAL"
    if direction is not None:
        dataset.DiffusionGradientOrientation = direction.tolist()


def _siemens(dataset: Dataset, _: Phantom, b: float, direction: Any) -> None:
    block = dataset.private_block(0x0019, SIEMENS, create=True)
    block.add_new(0x0C, "IS", str(round(b)))
    undirected = "ISOTROPIC" if b else "NONE"
    block.add_new(0x0D, "CS", undirected if direction is None else "DIRECTIONAL")
    if direction is not None:
        block.add_new(0x0E, "FD", direction.tolist())
        matrix = b * np.outer(direction, direction)
        block.add_new(0x27, "FD", matrix[np.triu_indices(3)].tolist())


def _ge(dataset: Dataset, phantom: Phantom, b: float, direction: Any) -> None:
    parameters = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
    offset = GE_OFFSET if phantom.vendor == "ge" and b else 0
    parameters.add_new(0x39, "IS", [str(round(b) + offset), "8", "0", "0"])
    axes = _image_axes(phantom)
    signs = GE_SIGNS[int(np.argmax(np.abs(axes[2])))]
    image = np.zeros(3) if direction is None else np.multiply(signs, axes @ direction)
    acquisition = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
    for offset, number in zip((0xBB, 0xBC, 0xBD), image, strict=True):
        acquisition.add_new(offset, "DS", decimal(round(float(number), 6)))


def _philips(dataset: Dataset, _: Phantom, b: float, direction: Any) -> None:
    imaging = dataset.private_block(0x2001, "Philips Imaging DD 001", create=True)
    imaging.add_new(0x03, "FL", float(b))
    undirected = "I" if b else "N"
    imaging.add_new(0x04, "CS", undirected if direction is None else "O")
    vector = np.zeros(3) if direction is None else direction
    gradient = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    for offset, number in zip((0xB0, 0xB1, 0xB2), vector, strict=True):
        gradient.add_new(offset, "FL", float(np.float32(number)))


def _uih(dataset: Dataset, phantom: Phantom, b: float, direction: Any) -> None:
    block = dataset.private_block(0x0065, "Image Private Header", create=True)
    block.add_new(0x09, "FD", float(b))
    # in image axes, unlike Siemens and Philips
    image = np.zeros(3) if direction is None else _image_axes(phantom) @ direction
    block.add_new(0x37, "FD", image.tolist())


def _image_axes(phantom: Phantom) -> Array:
    """Return the directions along a row, along a column, and across the plane."""
    place = phantom.placement
    return np.array([place.column, place.row, np.cross(place.column, place.row)])

"""Hitachi and Fujifilm: the standard attributes hold everything that is known of their images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagedata_xr.formats.dicom.vendors.raw import Diffusion, Readable

__all__ = ["component", "diffusion"]


def diffusion(header: Readable) -> Diffusion:  # noqa: ARG001 (as the other vendors)
    """Return nothing: Hitachi writes (0018,9087) and (0018,9089)."""
    return None, None


def component(header: Readable) -> str | None:  # noqa: ARG001 (as the other vendors)
    """Return None: Hitachi has nothing beyond the standard attributes."""
    return None

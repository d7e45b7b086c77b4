"""Pictures and films of images, for slides and papers."""

from __future__ import annotations

from imagedata_xr.pictures.image import montage, to_image

__all__ = ["montage", "to_image"]

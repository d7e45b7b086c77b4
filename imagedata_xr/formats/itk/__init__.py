"""MetaImage, NRRD and other formats of ITK, through SimpleITK."""

from imagedata_xr.formats.itk.objects import from_sitk, to_sitk
from imagedata_xr.formats.itk.write import to_itk

__all__ = ["from_sitk", "to_itk", "to_sitk"]

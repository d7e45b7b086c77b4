"""MetaImage and NRRD files, through SimpleITK."""

from imagedata_xr.formats.itk.write import to_itk

__all__ = ["to_itk"]

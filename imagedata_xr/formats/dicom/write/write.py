"""Write an image as a DICOM series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydicom import config

from imagedata_xr.errors import OptionError, WriteError
from imagedata_xr.formats.dicom.like import geometry_image, take_geometry
from imagedata_xr.formats.dicom.segmentation import SEGMENT
from imagedata_xr.formats.dicom.write.classes import named_class
from imagedata_xr.formats.dicom.write.compress import NATIVE, syntax_of
from imagedata_xr.formats.dicom.write.enhanced import join
from imagedata_xr.formats.dicom.write.instances import damaged_headers
from imagedata_xr.formats.dicom.write.keywords import elements
from imagedata_xr.formats.dicom.write.layout import layout_of
from imagedata_xr.formats.dicom.write.lineage import named_sources
from imagedata_xr.formats.dicom.write.objects import require_highdicom
from imagedata_xr.formats.dicom.write.parametric import float_type, is_map, write_map
from imagedata_xr.formats.dicom.write.segmentation import to_dicom_seg
from imagedata_xr.formats.dicom.write.series import Wish, write_series
from imagedata_xr.formats.dicom.write.target import OURS, file_name
from imagedata_xr.formats.dicom.write.template import template_header, template_of
from imagedata_xr.formats.dicom.write.values import stored_type
from imagedata_xr.targets import complete_folder, place_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    import xarray as xr
    from numpy.typing import DTypeLike

__all__ = ["to_dicom"]


def to_dicom(  # noqa: PLR0913 - each option is one thing a user may say
    da: xr.DataArray,
    target: str | os.PathLike[str],
    *,
    template: Any = None,
    geometry: Any = None,
    sources: Any = None,
    keep_uid: bool = False,
    overwrite: bool = False,
    pixel: DTypeLike | None = None,
    scale: str = "series",
    padding: bool = False,
    multiframe: bool = False,
    syntax: str | None = None,
    progress: bool | None = None,
    **attributes: Any,
) -> Path | str:
    """
    Write an image as a DICOM series: a folder with one file for each frame.

    Each file has the header of its own source frame, through the coordinate ``frame``, private
    elements and sequences included, also where the array knows patients by its headers only
    (``phi=False``). The values of the array are compared with those of the source: where all
    are equal, the stored pixels are those of the source, bit for bit, and the file is a copy in
    a new series of the same study. A part of a frame (crop, stride, flip, tile of a mosaic) has
    the stored values and the rescale of its source, and is marked as derived; so is a frame of a
    multi-frame instance, which becomes an image of the single-frame class, with what public
    attributes say of it. What headers say of the series as a whole (Spacing Between Slices, Number
    of Temporal Positions) is copied also where only some of its frames are written.

    Where any value differs, the series is derived (PS3.3 C.7.6.1.1.2): Image Type, Derivation
    Description and Source Image Sequence say so, window, range, padding, overlays and tables of
    the source's pixels are left out. The header is that of the frame's own source; without one,
    what the source frames of the same slice have in common; without sources, the attributes of
    the array. Whole numbers are stored exactly; others by one slope and intercept, and Derivation
    Description states the largest rounding error. An array opened with ``rescale=False`` has
    other values than its source where that has a slope, and becomes a derived series of them.

    Positions are those of the coordinates. The texts of the source are kept where they put all
    pixels within 0.01 mm (or a tenth of a pixel) of it, as the reader rounds. ``te``, ``ti``,
    ``fa``, ``b``, ``bvec_x``..., ``trigger_time`` and ``time`` are written to their attributes
    where the header says otherwise. The order of the files, and of Instance Numbers, is that of
    the array: its last dimension before the rows runs fastest.

    Without `syntax`, files are native, in the implicit or explicit little endian of their source,
    or explicit little endian. The target appears complete or not at all. Lazy arrays are read frame by
    frame, Dask arrays chunk by chunk, several at a time; where values are computed or rescaled, twice.

    The masks of a segmentation (dimension ``segment``) become a segmentation, as `to_dicom_seg`
    writes it; floating point values of a parametric map become such a map, bit for bit.

    Parameters
    ----------
    da : xarray.DataArray
    target : path-like or URL
        A folder that does not exist or is empty; its parent exists. Files are named ``0001.dcm``
        and so on. A name that ends in ``.zip`` is an archive of them. Or a URL of a folder or
        archive that fsspec can write (``memory://``, ``s3://``): an archive appears in one step,
        a folder file by file.
    template : DataArray, path or URL, optional
        DICOM from which patient, study, equipment and frame of reference are taken, in place of
        those of the array. Without it, an array that was made `like` another has its template.
    geometry : bool, DataArray, path or URL, optional
        True: the positions are those of the template; an image: those of that image. Shapes must
        agree, and positions too where the array has its own.
    sources : DataArray, path, URL, or sequence of these, optional
        The images that a computed image was made from, for Source Image Sequence: arrays as opened,
        or parts of them (``dwi.sel(b=[0, 800])``). By default, of each series that the array still
        knows, those at the place of a frame with its labels (time, b...). Along a dimension that
        was reduced, these are all, and Derivation Description says that some may not have been used.
    keep_uid : bool
        Write the same instances, with their UIDs and Instance Numbers: only where neither pixels
        nor positions have changed.
    overwrite : bool
        Replace the archive, or the folder, if it holds only files with such names as are given
        here.
    pixel : dtype-like, optional
        Type of the stored integers of a derived series, 8, 16 or 32 bits. By default that of the
        array, or the 16 bits that fit. ``"float"`` (or ``"float32"``, ``"float64"``): the values
        as they are, NaN included, in one multi-frame Parametric Map; ``units`` of the array in
        UCUM. It is read by fewer programs.
    scale : {"series", "frame"}
        Numbers that are not whole are stored by one slope and intercept for the series, or by one
        for each frame: smaller errors, which each frame states.
    padding : bool
        Store NaN and infinities as Pixel Padding Value, which no other value has; 16 bits at most.
        Without it they are an error. Read again they are NaN among floating point values, and
        the number Pixel Padding Value among integers; other programs show a number.
    multiframe : bool
        Write one instance with all frames: legacy converted enhanced MR, CT or PET. It holds all
        that the single images say, in functional groups. All pixels are in memory at once.
    syntax : str, optional
        Transfer syntax: ``explicit`` or ``implicit``, or, compressed without loss, ``rle``,
        ``jpegls``, ``jpeg2000`` or ``htj2k``; a UID of one of these. Every compressed frame is
        decoded again and compared. By default, native.
    progress : bool, optional
        Progress bar; by default where a person is looking.
    **attributes
        DICOM attributes by keyword, for all files, e.g. ``SeriesDescription="ADC"``; None leaves
        one out. Without a source, ``Modality`` or ``SOPClassUID`` chooses the class of object:
        ``SOPClassUID="MR"``, ``"CT"``, ``"PT"`` or ``"SC"`` (Secondary Capture, the default).

    Returns
    -------
    pathlib.Path or str
        The target; text (without a password) for a URL.

    Raises
    ------
    OptionError
        An argument means nothing: an unknown keyword, or complex values.
    GeometryError
        The place of the image in the patient is gone.
    GridMismatchError
        The image is not on the grid of `geometry`.
    HeaderError
        Nobody knows the patient, or the frames belong to several studies.
    WriteError
        The target is not free, values are not finite, `keep_uid` cannot be held, or the disk
        refuses; or `syntax` has no place for the pixels.
    MissingDependencyError
        An encoder is not installed.

    Warns
    -----
    DataWarning
        Where frames had headers of their own and only the attributes of the array can be written;
        or values are NaN or infinite, and `padding` or a parametric map is asked for.

    Examples
    --------
    >>> mean = series.mean("time")
    >>> out = imagedata_xr.to_dicom(mean, "mean", SeriesNumber=1014, SeriesDescription="Mean")
    >>> again = xr.open_dataarray(out, engine="dicom")
    >>> again.attrs["SeriesDescription"], again.attrs["ImageType"][0]
    ('Mean', 'DERIVED')
    """
    if _is_mask(da, pixel, attributes) and not (keep_uid or multiframe or syntax):
        given = {"template": template, "geometry": geometry, "overwrite": overwrite}
        return to_dicom_seg(da, target, **given, **attributes)
    if SEGMENT in da.dims and pixel is None and not {"SOPClassUID", "Modality"} & set(attributes):
        raise WriteError(
            "images do not say which segment they are of: write masks (da >= 0.5, without keep_uid=, "
            "multiframe= and syntax=), or one segment at a time, da.isel(segment=0)"
        )
    _check(scale, keep_uid=keep_uid, multiframe=multiframe, with_template=template is not None)
    if pixel is None and is_map(da) and not (keep_uid or syntax or "SOPClassUID" in attributes):
        pixel = da.dtype
    floats = _floats(da, pixel, syntax, keep_uid=keep_uid)
    placing = geometry_image(geometry, template)
    if placing is not None:
        da = take_geometry(da, placing)
        if geometry is not True and "FrameOfReferenceUID" in placing.attrs:
            attributes = {"FrameOfReferenceUID": placing.attrs["FrameOfReferenceUID"], **attributes}
    wish = Wish(
        extra=elements(named_class(attributes)),
        template=None,
        keep_uid=keep_uid,
        pixel=pixel,
        progress=progress,
        syntax=syntax_of("explicit" if multiframe else syntax),
        scale=scale,
        padding=padding,
        sources=named_sources(sources),
    )
    # Headers of sources are passed on as they are, also where values break the rules of their VR.
    with (
        complete_folder(target, ours=OURS, overwrite=overwrite) as folder,
        config.disable_value_validation(),
        damaged_headers(),
    ):
        layout = layout_of(da)
        if floats is not None:
            write_map(layout, wish, folder / file_name(1, 1), template, floats)
            return place_of(target)
        wish.template = template_of(da) if template is None else template_header(template)
        write_series(layout, wish, folder)
        if multiframe:
            join(folder, file_name(1, 1), layout, syntax=syntax_of(syntax))
    return place_of(target)


def _check(scale: str, *, keep_uid: bool, multiframe: bool, with_template: bool) -> None:
    """Refuse options that contradict each other."""
    if keep_uid and with_template:
        raise OptionError("keep_uid: with another patient or study they are other instances")
    if multiframe:
        require_highdicom()
        if keep_uid:
            raise OptionError("keep_uid: one multi-frame instance is none of the source's")
    if scale not in ("series", "frame"):
        raise OptionError(f"scale={scale!r}: give 'series' or 'frame'")


def _is_mask(da: xr.DataArray, pixel: DTypeLike | None, attributes: Mapping[str, Any]) -> bool:
    """Tell whether the array is the masks of a segmentation, which are no images."""
    told = pixel is not None or {"SOPClassUID", "Modality"} & set(attributes)
    return SEGMENT in da.dims and da.dtype.itemsize == 1 and da.dtype.kind in "bu" and not told


def _floats(
    da: xr.DataArray, pixel: DTypeLike | None, syntax: str | None, *, keep_uid: bool
) -> np.dtype[Any] | None:
    """Return the type of floating point pixels, None where integers are to be stored."""
    found = float_type(pixel, da.dtype)
    if found is None:
        stored_type(pixel)
    elif keep_uid:
        raise OptionError("keep_uid: a parametric map is none of the source's instances")
    elif syntax_of(syntax) not in (None, *NATIVE):
        raise OptionError(f"syntax={syntax!r}: floating point pixels are not compressed")
    return found

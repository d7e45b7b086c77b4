"""Formats that commands write: by name, or by the name of the target."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.cli.places import is_url
from imagedata_xr.errors import OptionError
from imagedata_xr.targets import named
from imagedata_xr.transports import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import xarray as xr

__all__ = ["FORMATS", "Format", "Output", "formats_for"]

_DICOM: Final = "dicom"
_SLICE, _TAG = "slice", "tag"
_SINGLE, _MULTI = "single", "multi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """
    How to write, in the words of the command line.

    Attributes
    ----------
    out : str
        A file, a folder, a URL or a template of them; ``%p`` in it is the name of the format.
    formats : tuple of str
        Names of formats; empty to go by the target, or by what the image was.
    dtype : str or None
        Type of the values.
    odir : str
        ``single``, or ``multi`` for one folder or file a volume.
    sort : str
        ``slice`` or ``tag``: what runs fastest from file to file of a DICOM series.
    overwrite : bool
        Replace what exists.
    template : str or None
        DICOM from which patient and study are taken.
    geometry : str or None
        DICOM from which positions are taken.
    attributes : mapping
        DICOM attributes by keyword.
    dicom : mapping
        Further options of `imagedata_xr.to_dicom`.
    is_anonymous : bool
        Take out the patient's identity.
    is_quiet : bool
        No progress bars.
    is_bids : bool
        Names as BIDS has them.
    """

    out: str
    formats: tuple[str, ...] = ()
    dtype: str | None = None
    odir: str = _SINGLE
    sort: str = _SLICE
    overwrite: bool = False
    template: str | None = None
    geometry: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dicom: Mapping[str, Any] = field(default_factory=dict)
    is_anonymous: bool = False
    is_quiet: bool = False
    is_bids: bool = False

    def check(self) -> None:
        """Raise OptionError where a word is none that its option knows."""
        for name, value, known in (
            ("odir", self.odir, (_SINGLE, _MULTI)),
            ("sort", self.sort, (_SLICE, _TAG)),
        ):
            if value not in known:
                raise OptionError(f"--{name} {value}: give {' or '.join(known)}")


@dataclass(frozen=True, slots=True)
class Format:
    """
    A format of output.

    Attributes
    ----------
    suffixes : tuple of str
        Of its files; the first is the one of files in a folder.
    write : callable
        Of the image, the target and the output.
    is_folder : bool
        One image is a folder of files.
    """

    suffixes: tuple[str, ...]
    write: Callable[[xr.DataArray, str, Output], Any]
    is_folder: bool = False

    def owns(self, path: str) -> bool:
        """Tell whether a name, of a member of an archive or a URL too, is that of a file of it."""
        return named(path).name.lower().endswith(self.suffixes)


def _to_nifti(image: xr.DataArray, place: str, output: Output) -> Any:
    from imagedata_xr.formats.nifti import to_nifti

    return to_nifti(image, place, overwrite=output.overwrite)


def _to_itk(image: xr.DataArray, place: str, output: Output) -> Any:
    from imagedata_xr.formats.itk import to_itk

    return to_itk(image, place, overwrite=output.overwrite)


def _to_mat(image: xr.DataArray, place: str, output: Output) -> Any:
    from imagedata_xr.formats.mat import to_mat

    return to_mat(image, place, overwrite=output.overwrite)


def _to_dicom(image: xr.DataArray, place: str, output: Output) -> Any:
    from imagedata_xr.formats.dicom.write import to_dicom

    return to_dicom(
        image,
        place,
        template=output.template,
        geometry=output.geometry,
        overwrite=output.overwrite,
        progress=False if output.is_quiet else None,
        **output.dicom,
        **output.attributes,
    )


FORMATS: Final[Mapping[str, Format]] = {
    _DICOM: Format((".zip",), _to_dicom, is_folder=True),
    "nifti": Format((".nii.gz", ".nii"), _to_nifti),
    "itk": Format((".mha", ".mhd", ".nrrd", ".nhdr", ".vtk", ".gipl", ".tif"), _to_itk),
    "mat": Format((".mat",), _to_mat),
}
# Names that somebody who gives them means as files.
_OTHER_FILES: Final = (
    *(".dcm", ".gz", ".h5", ".hdr", ".img", ".mat", ".mha", ".mhd", ".nii"),
    *(".nc", ".nrrd", ".png", ".tar", ".zarr", ".zip"),
)


def formats_for(output: Output, engine: str) -> dict[str, Format]:
    """
    Return the formats to write: those asked for, else that of the target, else the input's own.

    Parameters
    ----------
    output : Output
    engine : str
        Name of the engine that read the image.

    Raises
    ------
    OptionError
        There is no such format, or the target is no place for it.
    """
    names = [name.lower() for name in output.formats] or [_implied(output.out, engine)]
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        listed = ", ".join(FORMATS)
        raise OptionError(f"--of {unknown[0]}: there is no such format; available: {listed}")
    found = {name: FORMATS[name] for name in names}
    _check_target(output.out, found)
    return found


def _implied(out: str, engine: str) -> str:
    if is_remote(out):
        return _DICOM
    return next(
        (name for name, form in FORMATS.items() if form.owns(out)),
        _DICOM if is_url(out) else engine,
    )


def _check_target(out: str, formats: Mapping[str, Format]) -> None:
    if is_url(out):
        _check_url(out, formats)
        return
    if len(formats) > 1 and any(form.owns(out) for form in FORMATS.values()):
        raise OptionError(f"{out} is one file, for several formats: give a folder as OUT")
    path = Path(out)
    if path.is_dir() or any(form.owns(out) for form in formats.values()):
        return
    if path.exists() or out.lower().endswith(_OTHER_FILES):
        suffixes = " or ".join(
            end for form in formats.values() for end in form.suffixes if not form.is_folder
        )
        ending = f", or a file that ends in {suffixes}" if suffixes else ""
        raise OptionError(f"OUT is a folder{ending}, not {path}")


def _check_url(out: str, formats: Mapping[str, Format]) -> None:
    if set(formats) == {_DICOM}:
        return
    names = ", ".join(formats)
    if is_remote(out):
        raise OptionError(f"only DICOM is written to servers, not {names} to {out}")
    if len(formats) > 1 or not all(form.owns(out) for form in formats.values()):
        raise OptionError(
            f"only DICOM is written to folders behind URLs, not {names} to {out}: name a file, such "
            f"as {out.rstrip('/')}/image.nii.gz"
        )

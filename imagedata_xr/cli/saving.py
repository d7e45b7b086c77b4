"""Where a command puts an image: formats by name or by the name of the target, files and folders."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr import schema
from imagedata_xr.cli.casting import cast
from imagedata_xr.errors import OptionError, WriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import xarray as xr

__all__ = ["FORMATS", "Output", "formats_for", "save"]

_DICOM: Final = "dicom"
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://")
_SLICE, _TAG = "slice", "tag"
_SINGLE, _MULTI = "single", "multi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """
    How to write, in the words of the command line.

    Attributes
    ----------
    out : str
        A file, a folder or a URL; ``%p`` in it is the name of the format.
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
        """Tell whether a name is that of a file of the format."""
        return path.lower().endswith(self.suffixes)


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
    if _URL.match(out):
        return _DICOM
    return next((name for name, form in FORMATS.items() if form.owns(out)), engine)


def _check_target(out: str, formats: Mapping[str, Format]) -> None:
    if _URL.match(out):
        if set(formats) != {_DICOM}:
            raise OptionError(f"only DICOM is written to URLs, not {', '.join(formats)} to {out}")
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


def save(
    image: xr.DataArray, output: Output, formats: Mapping[str, Format], *, is_one: bool = True
) -> Iterator[str]:
    """
    Write an image, in each of the formats; yield a line for each file or folder written.

    Parameters
    ----------
    image : DataArray
    output : Output
    formats : mapping of str to Format
        As `formats_for` returns them.
    is_one : bool
        Whether the target is for this image alone.

    Raises
    ------
    ImagedataError
        What could not be written does not exist.
    """
    output.check()
    if output.dtype is not None:
        image = cast(image, output.dtype)
    if output.is_anonymous:
        from imagedata_xr.formats.dicom.deidentify import deidentify

        image = deidentify(image)
    if output.sort == _TAG and schema.SLICE in image.dims:
        others = [dim for dim in image.dims if dim != schema.SLICE]
        image = image.transpose(schema.SLICE, *others)
    for name, form in formats.items():
        if name != _DICOM and (output.attributes or output.template or output.geometry):
            raise OptionError(f"only DICOM takes attributes and a template, {name} does not")
        for kind, part in _parts(image, output, form, name):
            place = _place(part, output, form, name, kind=kind, is_one=is_one)
            with _folder_for(place, form, output.out):
                written = form.write(part, place, output)
            sizes = " x ".join(f"{dim} {size}" for dim, size in part.sizes.items())
            yield f"{written}: {name}, {part.dtype}, {sizes}"


def _parts(
    image: xr.DataArray, output: Output, form: Format, name: str
) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield what makes a file of its own, with what tells it from the others."""
    leading = [dim for dim in image.dims if dim not in (*schema.SPATIAL, schema.RGB)]
    # Files of other formats hold one kind of image: magnitude, or phase.
    named = [dim for dim in leading if dim in image.coords and image[dim].dtype.kind in "OUST"]
    split = leading if output.odir == _MULTI else [] if form.is_folder else named
    if split and form.owns(output.out):
        choices = ", ".join(f"{dim}={value}" for dim in split for value in image[dim].values)
        raise OptionError(
            f"the series holds several images ({choices}), and {output.out} is one file: give a "
            f"folder as OUT for {name}, or one of them as --select"
        )
    for places in product(*(range(image.sizes[dim]) for dim in split)):
        part = image.isel(dict(zip(split, places, strict=True)))
        yield "_".join(_label(part, dim) for dim in split), part


def _label(part: xr.DataArray, dim: Any) -> str:
    value = part.coords[dim].item() if dim in part.coords else ""
    return value if isinstance(value, str) else f"{dim}{value:g}"


def _place(  # noqa: PLR0913 - what a name is made of
    image: xr.DataArray, output: Output, form: Format, name: str, *, kind: str, is_one: bool
) -> str:
    out = output.out.replace("%p", name)
    if _URL.match(out) or form.owns(out):
        return out
    folder = Path(out)
    if len(output.formats) > 1 and "%p" not in output.out:
        folder /= name
    if not form.is_folder:
        return str(folder / (_stem(image, kind) + form.suffixes[0]))
    if not is_one:
        folder /= _stem(image, kind)
    elif kind:
        folder /= _clean(kind)
    return str(folder)


def _stem(image: xr.DataArray, kind: str = "") -> str:
    """Return series number, description and kind as the name of a file, without the patient's."""
    parts = [image.attrs.get(name) for name in ("SeriesNumber", "SeriesDescription")]
    parts.append(kind or None)
    texts = [_clean(str(part)) for part in parts if part is not None]
    return "_".join(text for text in texts if text)[:100] or schema.IMAGE


def _clean(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text).strip("_.")


class _folder_for:  # noqa: N801 - used as a statement
    """Make the folder of a target, and take it away again where nothing was written."""

    def __init__(self, place: str, form: Format, out: str) -> None:
        local = not _URL.match(place)
        self.parent = Path(place).parent if local else None
        # A file that was named itself goes where its folder is, and nowhere else.
        self.makes = local and (form.is_folder or not form.owns(out))
        self.missing: Sequence[Path] = ()

    def __enter__(self) -> None:
        if not self.makes or self.parent is None:
            return
        self.missing = [p for p in (self.parent, *self.parent.parents) if not p.exists()]
        try:
            self.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(
                f"the folder {self.parent} could not be made: {error.strerror}"
            ) from error

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with suppress(OSError):
                for path in self.missing:
                    path.rmdir()

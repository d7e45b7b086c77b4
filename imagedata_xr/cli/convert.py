"""Conversion of images from one format to another, as the command line asks for it."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr import schema
from imagedata_xr.errors import OptionError, WriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import xarray as xr

__all__ = ["Choice", "Request", "convert"]


@dataclass(frozen=True, slots=True)
class Choice:
    """
    Which images to read, and how to sort them, in the words of the command line.

    Attributes
    ----------
    order : tuple of str
        Each of them one dimension or several: ``te``, ``time,te``, ``ti=InversionTime``.
    series : tuple of str
        Numbers, descriptions or UIDs of series.
    select : tuple of str
        ``keyword=value`` each.
    stack : int or None
        Number of the stack.
    errors : str
        ``raise`` or ``warn``.
    """

    order: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    stack: int | None = None
    errors: str = "raise"

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of ``xarray.open_dataarray``."""
        several = len(self.series) != 1
        series = (list(self.series) or None) if several else self.series[0]
        return {
            "sort": _sort(self.order),
            "series": series,
            "select": _select(self.select),
            "stack": self.stack,
            "errors": self.errors,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    What to convert, and to what.

    Attributes
    ----------
    sources : tuple of str
        Paths of one series.
    out : str
        Path of a file, or of a folder.
    formats : tuple of str
        Names of output formats.
    overwrite : bool
        Replace files that exist.
    """

    sources: tuple[str, ...]
    out: str
    formats: tuple[str, ...]
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class _Format:
    suffixes: tuple[str, ...]
    write: Callable[[xr.DataArray, Path, bool], Path]

    def owns(self, path: str) -> bool:
        return path.lower().endswith(self.suffixes)


def _write_nifti(image: xr.DataArray, path: Path, overwrite: bool) -> Path:  # noqa: FBT001
    from imagedata_xr.formats.nifti import to_nifti

    return to_nifti(image, path, overwrite=overwrite)


# The first suffix is that of files in a folder.
_FORMATS: Final[Mapping[str, _Format]] = {"nifti": _Format((".nii.gz", ".nii"), _write_nifti)}
# Names that somebody who gives them means as files.
_OTHER_FILES: Final = (
    *(".dcm", ".gz", ".h5", ".hdr", ".img", ".mat", ".mha", ".mhd"),
    *(".nc", ".nrrd", ".tar", ".zarr", ".zip"),
)


def convert(
    request: Request, choice: Choice, *, verbose: bool = False, quiet: bool = False
) -> Iterator[str]:
    """
    Read one image and write it; yield what there is to tell a person.

    Parameters
    ----------
    request : Request
        What to convert, and to what.
    choice : Choice
        Which images, and in which order.
    verbose : bool
        Tell what was found in the headers.
    quiet : bool
        Tell nothing, and show no progress bar.

    Raises
    ------
    ImagedataError
        Nothing was written.
    """
    formats = _known(request.formats)
    target = _target(request.out, formats)
    arguments = choice.arguments()
    import xarray as xr

    several = len(request.sources) != 1
    sources: Any = list(request.sources) if several else request.sources[0]
    progress = False if quiet else None
    with xr.open_dataarray(sources, engine="dicom", progress=progress, **arguments) as image:
        if verbose and not quiet:
            from imagedata_xr.provenance import summary

            yield summary(image)
        for name, form in formats.items():
            for kind, part in _kinds(image, request, form):
                written = _write(part, target, form, request, kind)
                if not quiet:
                    sizes = " x ".join(f"{dim} {size}" for dim, size in part.sizes.items())
                    yield f"{written}: {name}, {part.dtype}, {sizes}"


def _known(names: tuple[str, ...]) -> dict[str, _Format]:
    found = {}
    for name in names:
        if name.lower() not in _FORMATS:
            raise OptionError(
                f"--of {name}: there is no such format; available: {', '.join(_FORMATS)}"
            )
        found[name.lower()] = _FORMATS[name.lower()]
    return found


def _target(out: str, formats: Mapping[str, _Format]) -> Path:
    if "://" in out:
        raise OptionError(f"OUT is a local file or folder, not {out}")
    path = Path(out)
    if path.is_dir() or any(form.owns(out) for form in formats.values()):
        return path
    if path.exists() or out.lower().endswith(_OTHER_FILES):
        suffixes = " or ".join(next(iter(formats.values())).suffixes)
        raise OptionError(f"OUT is a folder, or a file that ends in {suffixes}, not {path}")
    return path


def _kinds(
    image: xr.DataArray, request: Request, form: _Format
) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield magnitude, phase and other kinds of images, each with its name: files hold one kind."""
    dims = [dim for dim in image.dims if dim != schema.RGB and dim in image.coords]
    named = [dim for dim in dims if image.coords[dim].dtype.kind in "OUST"]
    if named and form.owns(request.out):
        choices = ", ".join(f"{dim}={value}" for dim in named for value in image[dim].values)
        raise OptionError(
            f"the series holds several kinds of images ({choices}), and {request.out} is one file: "
            "give a folder as OUT, or one of them as --select"
        )
    sizes = [range(image.sizes[dim]) for dim in named]
    for places in product(*sizes):
        part = image.isel(dict(zip(named, places, strict=True)))
        yield "_".join(str(part.coords[dim].item()) for dim in named), part


def _write(
    image: xr.DataArray, target: Path, form: _Format, request: Request, kind: str = ""
) -> Path:
    if form.owns(request.out):
        return _write_file(image, target, form, request)
    missing = [path for path in (target, *target.parents) if not path.exists()]
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"the folder {target} could not be made: {error.strerror}") from error
    try:
        name = _stem(image, kind) + form.suffixes[0]
        return _write_file(image, target / name, form, request)
    except BaseException:
        # A folder that was made for nothing is taken away again.
        with suppress(OSError):
            for path in missing:
                path.rmdir()
        raise


def _write_file(image: xr.DataArray, path: Path, form: _Format, request: Request) -> Path:
    if path.exists() and not request.overwrite:
        raise WriteError(f"{path} exists: --overwrite replaces it")
    return form.write(image, path, request.overwrite)


def _stem(image: xr.DataArray, kind: str = "") -> str:
    """Return series number, description and kind as the name of a file, without the patient's."""
    parts = [image.attrs.get(name) for name in ("SeriesNumber", "SeriesDescription")]
    parts.append(kind or None)
    texts = [re.sub(r"[^\w.+-]+", "_", str(part)).strip("_.") for part in parts if part is not None]
    return "_".join(text for text in texts if text)[:100] or schema.IMAGE


def _sort(order: tuple[str, ...]) -> Any:
    parts = [part.strip() for text in order for part in text.split(",") if part.strip()]
    if parts in ([], ["auto"]):
        return None
    keys: list[str | dict[str, str]] = []
    for part in parts:
        name, equals, keyword = (piece.strip() for piece in part.partition("="))
        if equals and not (name.isidentifier() and keyword):
            raise OptionError(f"--order {part}: give NAME=KEYWORD, e.g. ti=InversionTime")
        keys.append({name: keyword} if equals else name)
    return keys[0] if len(keys) == 1 else keys


def _select(criteria: tuple[str, ...]) -> dict[str, list[Any]] | None:
    found: dict[str, list[Any]] = {}
    for text in criteria:
        keyword, equals, value = text.partition("=")
        if not equals or not keyword.strip() or not value:
            raise OptionError(f"--select {text}: give KEYWORD=VALUE, e.g. EchoTime=4.6")
        found.setdefault(keyword.strip(), []).extend(_meanings(value))
    return found or None


def _meanings(text: str) -> list[Any]:
    """Return the values that a text may stand for: headers hold numbers, texts, and lists."""
    if "\\" in text:
        parts = text.split("\\")
        return [tuple(parts), tuple(_number(part) or part for part in parts)]
    number = _number(text)
    return [text] if number is None else [text, number]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

"""Writing of images by a command: each a file, or a folder of files, or several by kind."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagedata_xr import schema
from imagedata_xr.cli.casting import cast
from imagedata_xr.cli.formats import FORMATS
from imagedata_xr.cli.places import is_template, is_url
from imagedata_xr.errors import OptionError, WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import xarray as xr

    from imagedata_xr.cli.formats import Format, Output
    from imagedata_xr.cli.places import Places

__all__ = ["Task", "tasks"]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """
    One thing to write.

    Attributes
    ----------
    image : DataArray
    name : str
        Of the format.
    place : str
        File, folder or URL.
    output : Output
    """

    image: xr.DataArray
    name: str
    place: str
    output: Output

    def __str__(self) -> str:
        sizes = " x ".join(f"{dim} {size}" for dim, size in self.image.sizes.items())
        return f"{self.place}: {self.name}, {self.image.dtype}, {sizes}"

    def write(self) -> str:
        """
        Write it, and return a line that says what was written.

        Raises
        ------
        ImagedataError
            It could not be written, and does not exist.
        """
        form = FORMATS[self.name]
        with _folder_for(self.place, form, self.output.out):
            form.write(self.image, self.place, self.output)
        return str(self)


def tasks(
    image: xr.DataArray, output: Output, formats: Mapping[str, Format], places: Places, *, key: str
) -> Iterator[Task]:
    """
    Yield what there is to write of an image, in each of the formats.

    Parameters
    ----------
    image : DataArray
    output : Output
    formats : mapping of str to Format
        As `imagedata_xr.cli.formats.formats_for` returns them.
    places : Places
    key : str
        What tells the image from others that are written with it.

    Raises
    ------
    OptionError
        An option means nothing for the image or the format.
    """
    output.check()
    if output.dtype is not None:
        image = cast(image, output.dtype)
    if output.is_anonymous:
        from imagedata_xr.formats.dicom.deidentify import deidentify

        image = deidentify(image)
    if output.sort == "tag" and schema.SLICE in image.dims:
        others = [dim for dim in image.dims if dim != schema.SLICE]
        image = image.transpose(schema.SLICE, *others)
    for name, form in formats.items():
        if name != "dicom" and (output.attributes or output.template or output.geometry):
            raise OptionError(f"only DICOM takes attributes and a template, {name} does not")
        for kind, part in _parts(image, output, form, name):
            yield Task(part, name, places.of(part, name, kind=kind, key=key), output)


def _parts(
    image: xr.DataArray, output: Output, form: Format, name: str
) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield what makes a file of its own, with what tells it from the others."""
    leading = [dim for dim in image.dims if dim not in (*schema.SPATIAL, schema.RGB)]
    # Files of other formats hold one kind of image: magnitude, or phase.
    named = [dim for dim in leading if dim in image.coords and image[dim].dtype.kind in "OUST"]
    split = leading if output.odir == "multi" else [] if form.is_folder else named
    if split and form.owns(output.out) and not is_template(output.out):
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


class _folder_for:  # noqa: N801 - used as a statement
    """Make the folder of a target, and take it away again where nothing was written."""

    def __init__(self, place: str, form: Format, out: str) -> None:
        local = not is_url(place)
        self.parent = Path(place).parent if local else None
        # A file that was named itself goes where its folder is, and nowhere else.
        self.makes = local and (form.is_folder or is_template(out) or not form.owns(out))
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

"""From an image to a picture file, or to a montage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.display import colormap_table, window_of
from imagedata_xr.display.rgb import colours_of, is_inverted
from imagedata_xr.errors import OptionError
from imagedata_xr.pictures.files import FORMATS, pil_image, require_pillow, write_pictures
from imagedata_xr.pictures.tiles import Tiles
from imagedata_xr.targets import complete_file

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.viewer.planes import Orientation

__all__ = ["montage", "to_image"]

DEEP: Final = 65535
LETTER_PART: Final = 16  # of the shorter side
SMALLEST_LETTER: Final = 10


def to_image(  # noqa: PLR0913 - each option is one thing that a user may choose
    da: xr.DataArray,
    path: str | os.PathLike[str],
    *,
    window: Any = None,
    cmap: Any = "gray",
    norm: Any = None,
    invert: bool | None = None,
    plane: str = schema.SLICE,
    orientation: Orientation = "auto",
    montage: bool | str | Sequence[str] = False,
    columns: int | None = None,
    width: int | None = None,
    smooth: bool = True,
    letters: bool = False,
    bits: int = 8,
    fps: float = 10.0,
    overwrite: bool = False,
) -> Path:
    """
    Write pictures of an image, as one looks at them, for slides and papers.

    The suffix says the format: ``.png``, ``.jpg`` (one picture), ``.tif`` (also pages), ``.gif``,
    ``.mp4`` (films). Pixels are square, whatever those of the image are; no text or identity of
    the patient is written. Overlays: ``da.med.overlay(mask).med.to_image(...)``.

    Parameters
    ----------
    da : DataArray
        Grey values or colours. Read slice by slice.
    path : path-like
        The folder exists.
    window, cmap, norm, invert
        As in `imagedata_xr.display.to_rgb`; one window for all pictures. Colours stay as they are.
    plane : {"slice", "row", "column"}
        The dimension that is cut.
    orientation : {"auto", "stored", "radiological"}
        ``"auto"``: slices of a DICOM series as stored, all else with the patient's right on the
        left and anterior or head on top.
    montage : bool, str or sequence of str
        Dimensions whose pictures are laid side by side; True: the one that is cut. The pictures
        along all others follow each other, the last dimension first.
    columns : int, optional
        Of the montage; about as many as rows by default.
    width : int, optional
        Longer side of one slice, pixels. By default a pixel is as large as the smaller side of
        those of the image.
    smooth : bool
        Interpolate linearly where pixels are stretched; else repeat.
    letters : bool
        Write where the patient's right, left... are at the edges of each picture.
    bits : {8, 16}
        16: grey levels from 0 to 65535, in PNG and TIFF.
    fps : float
        Pictures a second, of films.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OptionError
        An option means nothing, or the format holds one picture and there are several.
    WriteError
        The file exists, or the disk refuses.
    MissingDependencyError
        Without Pillow, imageio-ffmpeg (MP4), or the package of the colour map.

    Examples
    --------
    >>> out = imagedata_xr.to_image(series.isel(time=0, slice=1), "slice.png")
    >>> out.name
    'slice.png'
    """
    target = Path(path)
    kind, several, deep = _format(target)
    if bits not in (8, 16) or (bits == 16 and not deep):
        raise OptionError(f"bits={bits!r}: give 8, or 16 for PNG and TIFF")
    if not (np.isfinite(fps) and fps > 0):
        raise OptionError(f"fps={fps!r}: give a positive number of pictures a second")
    if bits == 16 and letters:
        raise OptionError("letters are written into pictures of 8 bits only")
    require_pillow()
    paint = _painter(da, (window, cmap, norm, invert), bits)
    tiles = _tiles(da, (plane, orientation, montage), (columns, width, smooth), paint)
    if tiles.count > 1 and not several:
        names = ", ".join(f"{name} ({da.sizes.get(name, 1)})" for name in tiles.sequence)
        raise OptionError(
            f"{target.name}: a {kind} file holds one picture, and there are {tiles.count}, along "
            f"{names}: choose one with isel or sel, lay them out with montage=True, or write .tif, "
            ".gif or .mp4"
        )
    pictures = _lettered(tiles) if letters else tiles.pictures()
    with complete_file(target, overwrite=overwrite) as part:
        write_pictures(part, pictures, kind, fps=fps)
    return target


def montage(  # noqa: PLR0913 - each option is one thing that a user may choose
    da: xr.DataArray,
    *,
    window: Any = None,
    cmap: Any = "gray",
    norm: Any = None,
    invert: bool | None = None,
    plane: str = schema.SLICE,
    orientation: Orientation = "auto",
    columns: int | None = None,
    width: int | None = None,
    smooth: bool = True,
    letters: bool = False,
) -> Any:
    """
    Return all pictures of an image side by side.

    Parameters
    ----------
    da : DataArray
        Choose before it: ``da.isel(time=0, slice=slice(None, None, 4))``.
    window, cmap, norm, invert, plane, orientation, columns, width, smooth, letters
        As in `to_image`. Of further dimensions, each makes rows of its own.

    Returns
    -------
    PIL.Image.Image
        Notebooks show it.

    Raises
    ------
    OptionError, MissingDependencyError
        As `to_image`.
    """
    paint = _painter(da, (window, cmap, norm, invert), 8)
    dims = [str(d) for d in da.dims if d not in (*schema.SPATIAL, schema.RGB)]
    if columns is None and dims:
        columns = da.sizes.get(plane, 1)
    tiles = _tiles(da, (plane, orientation, [*dims, plane]), (columns, width, smooth), paint)
    return pil_image(next(_lettered(tiles) if letters else tiles.pictures()))


def _format(target: Path) -> tuple[str, bool, bool]:
    found = FORMATS.get(target.suffix.lower())
    if found is None:
        raise OptionError(f"{target}: the name of a picture ends in one of {', '.join(FORMATS)}")
    return found


def _painter(
    da: xr.DataArray, look: tuple[Any, Any, Any, bool | None], bits: int
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return the function from values to levels."""
    window, cmap, norm, invert = look
    if schema.RGB in da.dims:
        if da.dtype != np.uint8 or bits != 8:
            raise OptionError(f"colours are written with 8 bits, and these are {da.dtype}")
        return lambda values: values[..., :3]
    if da.dtype.kind not in "biufc":
        raise OptionError(f"values of type {da.dtype} make no picture")
    real = abs(da).assign_attrs(da.attrs) if da.dtype.kind == "c" else da
    scale: Any = norm
    if not callable(norm):
        chosen = (0.5, 1.0) if window is None and da.dtype.kind == "b" else window
        scale = window_of(real, chosen, norm=norm).fractions
    elif window is not None:
        raise OptionError("norm is a function of its own: leave out window")
    table = colormap_table(cmap)
    if is_inverted(da) if invert is None else invert:
        table = table[::-1]
    grey = bool((table == table[:, :1]).all())
    if bits == 16 and not grey:
        raise OptionError("a picture of 16 bits is grey: leave out cmap")
    colours = colours_of(scale, table, (0, 0, 0))

    def paint(values: NDArray[Any]) -> NDArray[Any]:
        shown = np.abs(values) if values.dtype.kind == "c" else values
        if bits == 16:
            part = np.nan_to_num(np.ma.filled(scale(shown), 0).astype(np.float64))
            part = 1 - part if table[0, 0] > table[-1, 0] else part
            return np.asarray(np.rint(part.clip(0, 1) * DEEP), dtype=np.uint16)
        found = colours(shown)
        return found[..., 0] if grey else found

    return paint


def _tiles(
    da: xr.DataArray,
    view: tuple[str, Orientation, bool | str | Sequence[str]],
    size: tuple[int | None, int | None, bool],
    paint: Callable[[NDArray[Any]], NDArray[Any]],
) -> Tiles:
    from imagedata_xr.viewer.planes import scene

    plane, orientation, side = view
    columns, width, smooth = size
    if plane not in schema.SPATIAL:
        raise OptionError(f"plane={plane!r} is none of {', '.join(schema.SPATIAL)}")
    for name, value in (("columns", columns), ("width", width)):
        if value is not None and (int(value) != value or value < 1):
            raise OptionError(f"{name}={value!r}: give a positive number of pixels")
    shown = scene(da, orientation=orientation)
    axis = schema.SPATIAL.index(plane) if plane in da.dims else shown.native
    own = schema.SPATIAL[axis]
    dims = (*shown.dims, own)
    if isinstance(side, bool):
        wanted: tuple[str, ...] = (own,) if side else ()
    else:
        wanted = tuple([side] if isinstance(side, str) else side)
        wanted = tuple(own if name == plane else name for name in wanted)
    if not set(wanted) <= set(dims):
        raise OptionError(f"montage={side!r}: the pictures lie along {', '.join(dims)}")
    ordered = tuple(name for name in dims if name in wanted)
    return Tiles(shown, axis, paint, ordered, columns, width, smooth)


def _lettered(tiles: Tiles) -> Iterator[NDArray[Any]]:
    """Yield the pictures with the patient's directions at the edges of each."""
    if tiles.scene.directions is None:
        raise OptionError("the image has no place in the patient, so no left and right")
    left, right, top, bottom = tiles.plane.letters
    rows, columns = tiles.shape
    size = max(SMALLEST_LETTER, min(rows, columns) // LETTER_PART)
    pad = max(1, size // 4)
    places = (
        (left, (pad, rows // 2), "lm"),
        (right, (columns - pad, rows // 2), "rm"),
        (top, (columns // 2, pad), "ma"),
        (bottom, (columns // 2, rows - pad), "md"),
    )
    for picture in tiles.pictures():
        yield _written(picture, tiles.corners(), places, size)


def _written(
    picture: NDArray[Any],
    corners: Sequence[tuple[int, int]],
    places: Sequence[tuple[str, tuple[int, int], str]],
    size: int,
) -> NDArray[Any]:
    from PIL import ImageDraw, ImageFont

    image = pil_image(picture)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size)
    white, black = (255, 0) if image.mode == "L" else ((255,) * 3, (0,) * 3)
    for top, start in corners:
        for text, (x, y), anchor in places:
            draw.text(
                (start + x, top + y),
                text,
                fill=white,
                font=font,
                anchor=anchor,
                stroke_width=max(1, size // 12),
                stroke_fill=black,
            )
    return np.asarray(image)

"""The viewer as files: a page that needs no Python, and pictures."""

from __future__ import annotations

import base64
import io
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.errors import MissingDependencyError, OptionError, WriteError
from imagedata_xr.viewer import captions
from imagedata_xr.viewer.component import RENDERING

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from imagedata_xr.viewer.viewer import Viewer

__all__ = ["save_page", "save_picture"]

SUFFIXES = (".png", ".jpg", ".jpeg")
# Panel writes its scripts into a saved page, but style sheets and icons as addresses.
STYLES = re.compile(
    r"https://cdn\.holoviz\.org/panel/[\w.]+/dist/(?P<path>[\w/-]+\.(?P<suffix>css|png|ico))(\?v=[\w.]+)?"
)


def save_page(view: Viewer, path: str | os.PathLike[str]) -> Path:
    """
    Write a viewer as one HTML file.

    Parameters
    ----------
    view : Viewer
    path : path-like
        Ends in ``.html``. What is there is replaced only by a complete file.

    Returns
    -------
    Path

    Raises
    ------
    OptionError
        Another suffix, or too many pictures.
    WriteError
        The file cannot be written.
    """
    target = _target(path, (".html", ".htm"))
    from bokeh.resources import INLINE

    page, text = view.page(offline=True), io.StringIO()
    with RENDERING:
        page.save(text, resources=INLINE, title="imagedata_xr")
    whole = STYLES.sub(_inline, text.getvalue())
    _replace(target, lambda partial: partial.write_text(whole, encoding="utf-8"))
    return target


def _inline(found: re.Match[str]) -> str:
    """Return a file of Panel as an address that holds it, in place of one in a network."""
    import panel as pn

    path = Path(pn.__file__).parent / "dist" / found["path"]
    if not path.is_file():
        return found[0]
    kind = {"css": "text/css", "png": "image/png", "ico": "image/x-icon"}[found["suffix"]]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def save_picture(view: Viewer, path: str | os.PathLike[str], *, size: int = 640) -> Path:
    """
    Write the pictures of a viewer's page, as they are at the moment, side by side.

    Parameters
    ----------
    view : Viewer
    path : path-like
        Ends in ``.png`` or ``.jpg``.
    size : int
        Of the longer side of each picture, pixels.

    Returns
    -------
    Path
    """
    target = _target(path, SUFFIXES)
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError(
            'pictures need Pillow: pip install "imagedata_xr[viewer]"'
        ) from error
    stage = view.stage
    first = stage.page * stage.per_page
    panes = stage.panes[first : first + stage.per_page]
    tiles = [_tile(view, pane["series"], pane["axis"], size) for pane in panes]
    height = max(tile.height for tile in tiles)
    whole = Image.new("RGB", (sum(tile.width for tile in tiles), height))
    left = 0
    for pane, tile in zip(panes, tiles, strict=True):
        framed = Image.new("RGB", (tile.width, height))
        framed.paste(tile, (0, (height - tile.height) // 2))
        if not stage.hide_text:
            _caption(view, pane["series"], pane["axis"], framed)
        whole.paste(framed, (left, 0))
        left += tile.width
    _replace(target, whole.save)
    return target


def colours(
    picture: NDArray[Any], limits: tuple[float, float], palette: list[str]
) -> NDArray[np.uint8]:
    """Return values as colours, shape (rows, columns, 3); NaN is black."""
    table = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in palette], dtype=np.uint8)
    low, high = limits
    scaled = (picture.astype(np.float64) - low) / (high - low) * len(table)
    place = np.clip(np.nan_to_num(scaled), 0, len(table) - 1).astype(np.intp)
    made = table[place]
    made[~np.isfinite(scaled)] = 0
    return np.asarray(made)


def _tile(view: Viewer, series: int, axis: int, size: int) -> Any:
    """Return one picture with its outlines."""
    from PIL import Image, ImageDraw

    stage = view.stage
    shown = view.series[series]
    plane = shown.scene.planes[axis]
    index, frame = stage.index[series][axis], stage.frame[series]
    pixels = _pixels(view, series, axis)
    (left, right), (bottom, top) = plane.x_range, plane.y_range
    pixels = pixels[:, ::-1] if left > right else pixels
    pixels = pixels[::-1] if bottom < top else pixels
    width, height = abs(right - left), abs(top - bottom)
    scale = size / max(width, height)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    resample = Image.Resampling.BICUBIC if stage.smooth else Image.Resampling.NEAREST
    tile = Image.fromarray(np.ascontiguousarray(pixels)).resize(shape, resample)
    draw = ImageDraw.Draw(tile)
    for record in stage.records:
        here = (record["series"], record["axis"], record["index"]) == (series, axis, index)
        if not here or record["frame"] not in (None, list(frame)):
            continue
        for xs, ys in record["loops"]:
            across = (np.asarray(xs) - left) / (right - left) * shape[0]
            down = (np.asarray(ys) - top) / (bottom - top) * shape[1]
            corners = list(zip(across.tolist(), down.tolist(), strict=True))
            draw.line([*corners, corners[0]], fill=record["color"], width=2)
    return tile


def _caption(view: Viewer, series: int, axis: int, tile: Any) -> None:
    """Write what the browser writes over a picture: who, which slice, window, letters, scale."""
    from PIL import ImageDraw

    stage, shown = view.stage, view.series[series]
    plane, draw = shown.scene.planes[axis], ImageDraw.Draw(tile)
    lines = captions.place(shown, axis, stage.index[series][axis], stage.frame[series])
    if not shown.scene.colour:
        lines.append(captions.window(*stage.windows[series]))
    corners = (shown.about["patient"], shown.about["title"], lines)
    _write(draw, tile.size, plane.letters, corners)
    if shown.scene.directions is not None:
        left, right = plane.x_range
        step = float(np.linalg.norm(shown.scene.directions[:, plane.across]))
        mm = step * abs(right - left) / tile.width
        _scale(draw, tile.size, *captions.scale_bar(tile.width, mm))


def _pixels(view: Viewer, series: int, axis: int) -> NDArray[np.uint8]:
    stage = view.stage
    shown, look = view.series[series], stage.looks[series]
    found = shown.picture(stage.frame[series], axis, stage.index[series][axis])
    picture = found["image"]
    if shown.scene.colour:
        return np.asarray(picture.view(np.uint8).reshape(*picture.shape, 4)[..., :3])
    palette = stage.palettes[look["cmap"]]
    low, high = stage.windows[series]
    pixels = colours(picture, (low, high), palette[::-1] if look["invert"] else palette)
    over = look["overlay"]
    if shown.overlay is None or not over["visible"]:
        return pixels
    upper = found["overlay"]
    above = colours(upper, (over["low"], over["high"]), shown.overlay.palette)
    alpha = np.where(np.isfinite(upper) & (upper >= over["low"]), over["alpha"], 0.0)[..., None]
    return np.asarray((pixels * (1 - alpha) + above * alpha + 0.5).astype(np.uint8))


def _style(shape: tuple[int, int]) -> dict[str, Any]:
    from PIL import ImageFont

    font = ImageFont.load_default(size=max(8, min(14, min(shape) // 24)))
    return {"font": font, "stroke_width": 1, "stroke_fill": "black"}


def _scale(draw: Any, shape: tuple[int, int], length: int, text: str) -> None:
    """Draw the mm scale above the lower letter."""
    x, y = (shape[0] - length) // 2, shape[1] - 26
    corners = [(x, y - 4), (x, y), (x + length, y), (x + length, y - 4)]
    for color, width in (("black", 4), ("#d8e2ea", 2)):
        draw.line(corners, fill=color, width=width)
    draw.text((shape[0] // 2, y - 5), text, fill="#ffd75e", anchor="md", **_style(shape))


def _write(
    draw: Any, shape: tuple[int, int], letters: tuple[str, ...], corners: Sequence[list[str]]
) -> None:
    """Write letters at the edges, and texts of the corners top left, top right, bottom left."""
    width, height = shape
    style = _style(shape)
    places = (
        (4, height // 2, "lm"),
        (width - 4, height // 2, "rm"),
        (width // 2, 4, "ma"),
        (width // 2, height - 4, "md"),
    )
    for (x, y, anchor), letter in zip(places, letters, strict=True):
        draw.text((x, y), letter, fill="#ffd75e", anchor=anchor, **style)
    spots = (
        ((6, 4), "la", "left"),
        ((width - 6, 4), "ra", "right"),
        ((6, height - 6), "ld", "left"),
    )
    for (spot, anchor, align), lines in zip(spots, corners, strict=True):
        text = "\n".join(lines)
        draw.multiline_text(spot, text, fill="#d8e2ea", anchor=anchor, align=align, **style)


def _target(path: str | os.PathLike[str], suffixes: tuple[str, ...]) -> Path:
    target = Path(path)
    if target.suffix.lower() not in suffixes:
        raise OptionError(f"{target.name}: the name ends in one of {', '.join(suffixes)}")
    return target


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside the target, and move it there when it is complete."""
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as folder:
            partial = Path(folder) / target.name
            write(partial)
            partial.replace(target)
    except OSError as error:
        raise WriteError(f"{target.name} cannot be written: {error}") from error

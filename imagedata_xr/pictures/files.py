"""Files of pictures and films, through Pillow and FFmpeg."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from imagedata_xr.errors import MissingDependencyError, OptionError, WriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FORMATS", "pil_image", "require_pillow", "write_pictures"]

Pictures: TypeAlias = "Iterator[NDArray[Any]]"
# Suffix: name, whether it holds several pictures, whether 16 bits.
FORMATS: Final = {
    ".png": ("PNG", False, True),
    ".jpg": ("JPEG", False, False),
    ".jpeg": ("JPEG", False, False),
    ".tif": ("TIFF", True, True),
    ".tiff": ("TIFF", True, True),
    ".gif": ("GIF", True, False),
    ".mp4": ("MP4", True, False),
}
EXTRA: Final = 'pip install "imagedata_xr[pictures]"'
JPEG_QUALITY: Final = 92
# 0 to 10 of FFmpeg's wrapper.
FILM_QUALITY: Final = 8


def pil_image(picture: NDArray[Any]) -> Any:
    """Return a picture, shape (rows, columns[, 3]), as an image of Pillow."""
    return require_pillow().fromarray(np.ascontiguousarray(picture))


def require_pillow() -> Any:
    """Return the module ``PIL.Image``; MissingDependencyError without it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError(f"pictures need Pillow: {EXTRA}") from error
    return Image


def write_pictures(path: Path, pictures: Pictures, kind: str, *, fps: float) -> None:
    """
    Write pictures of one size to a file.

    Parameters
    ----------
    path : Path
        Replaced.
    pictures : iterator of ndarray
        At least one.
    kind : str
        Name of one of `FORMATS`.
    fps : float
        Pictures a second, of GIF and MP4.

    Raises
    ------
    WriteError
        The encoder fails.
    MissingDependencyError
        Without Pillow or FFmpeg.
    """
    write: Callable[[Path, Pictures, str, float], None] = _film if kind == "MP4" else _still
    try:
        write(path, pictures, kind, fps)
    except OSError as error:
        if error.errno is not None:
            # Of the disk, not of the encoder: whoever knows the target says which it is.
            raise
        raise WriteError(f"the {kind} file could not be written: {error}") from error


def _still(path: Path, pictures: Pictures, kind: str, fps: float) -> None:
    images = (pil_image(one) for one in pictures)
    first = next(images)
    options: dict[str, dict[str, Any]] = {
        "PNG": {},
        "JPEG": {"quality": JPEG_QUALITY, "subsampling": 0},
        "TIFF": {"compression": "tiff_deflate", "save_all": True, "append_images": images},
        # Hundredths of a second are what the format has.
        "GIF": {
            "save_all": True,
            "append_images": images,
            "duration": max(10, 10 * round(100 / fps)),
            "loop": 0,
            "disposal": 2,
        },
    }
    first.save(path, format=kind, **options[kind])


def _film(path: Path, pictures: Pictures, kind: str, fps: float) -> None:
    del kind
    try:
        from imageio_ffmpeg import write_frames
    except ImportError as error:
        raise MissingDependencyError(f"films need imageio-ffmpeg: {EXTRA}") from error
    first = _even(next(pictures))
    writer = write_frames(
        str(path),
        (first.shape[1], first.shape[0]),
        fps=fps,
        codec="libx264",
        quality=FILM_QUALITY,
        macro_block_size=1,
        ffmpeg_log_level="error",
        output_params=["-f", "mp4", "-movflags", "+faststart"],
    )
    writer.send(None)
    try:
        writer.send(first.tobytes())
        for picture in pictures:
            writer.send(_even(picture).tobytes())
    finally:
        writer.close()
    if not path.is_file() or not path.stat().st_size:
        raise WriteError("FFmpeg wrote no film")


def _even(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Return colours with even numbers of rows and columns, as the colour coding of H.264 needs."""
    if picture.dtype != np.uint8:
        raise OptionError(f"a film has 8 bits, not {picture.dtype}")
    rows, columns = picture.shape[:2]
    colours = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
    return np.ascontiguousarray(np.pad(colours, ((0, rows % 2), (0, columns % 2), (0, 0))))

"""
The errors and warnings of the package: one tree, so that callers catch one root.

::

    ImagedataError
    ├── SourceError (OSError)            a path, URL or object that cannot be listed or read
    │   └── SourceNotFoundError (FileNotFoundError)
    ├── NoImagesError (ValueError)       readable, but no image in it
    ├── FormatError (ValueError)         a damaged or contradictory file
    │   └── PixelError                   its pixels cannot be decoded
    ├── OptionError (ValueError)         an argument that means nothing
    ├── SortError (ValueError)           frames that make no complete grid
    │   ├── MultipleSeriesError          several series where one is meant
    │   ├── MultipleStacksError          several orientations, sizes or components in one series
    │   ├── IncompleteGridError          frames missing or double in the grid
    │   └── DuplicateFrameError          one SOP Instance UID with different contents
    ├── GeometryError (ValueError)       no (regular) position in the patient
    ├── GridMismatchError (AlignmentError)  two arrays on different grids
    ├── HeaderError (LookupError)        no source header for a frame
    ├── MissingDependencyError (ImportError)
    ├── WriteError (OSError)             a target that cannot be written completely
    └── TransportError (OSError)         a server that does not do what it was asked
        ├── PeerConnectionError (ConnectionError)  it cannot be reached, or stopped answering
        ├── AuthenticationError (PermissionError)  it does not accept who asks
        ├── RejectedError                it refuses the request
        ├── PartialReadError             some of what was asked did not arrive
        └── PartialWriteError (WriteError)  some instances are not acknowledged

    ImagedataWarning (UserWarning)
    ├── DuplicateWarning                 identical duplicates left out
    ├── SpacingWarning                   slices missing or unevenly spaced
    ├── SkippedFileWarning               files left out on the caller's request
    ├── InsecureWarning                  a connection without the checks that make it safe
    └── DataWarning                      header values that contradict each other
"""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

__all__ = [
    "AuthenticationError",
    "DataWarning",
    "DuplicateFrameError",
    "DuplicateWarning",
    "FormatError",
    "GeometryError",
    "GridMismatchError",
    "HeaderError",
    "ImagedataError",
    "ImagedataWarning",
    "IncompleteGridError",
    "InsecureWarning",
    "MissingDependencyError",
    "MultipleSeriesError",
    "MultipleStacksError",
    "NoImagesError",
    "OptionError",
    "PartialReadError",
    "PartialWriteError",
    "PeerConnectionError",
    "PixelError",
    "RejectedError",
    "SkippedFileWarning",
    "SortError",
    "SourceError",
    "SourceNotFoundError",
    "SpacingWarning",
    "TransportError",
    "WriteError",
]


class ImagedataError(Exception):
    """
    Root of every error that the package raises on purpose.

    A traceback ends with the command that prints what the documentation says of the error.
    """

    def __new__(cls, *args: Any, **_: Any) -> Self:
        """Make an error whose note names its page."""
        # OSError takes no keywords here.
        made = super().__new__(cls, *args)
        known = next(kind.__name__ for kind in cls.__mro__ if kind.__module__ == __name__)
        made.add_note(f"More: imagedata-xr explain {known}")
        return made

    def _render_traceback_(self) -> list[str]:
        """
        Return what notebooks show: the caller's lines and the message, not the inside of libraries.

        IPython asks for it by this name. ``traceback.print_exception(error)`` shows all.
        """
        lines = [
            f"{_place(frame.filename)}, line {frame.lineno}: {frame.line}"
            for frame in traceback.extract_tb(self.__traceback__)
            if not _is_library(frame.filename)
        ]
        return [*lines, "", f"{type(self).__name__}: {self}", *self.__notes__]


class SourceError(ImagedataError, OSError):
    """A path, URL or object cannot be listed or read."""


class SourceNotFoundError(SourceError, FileNotFoundError):
    """A path or URL does not exist."""


class NoImagesError(ImagedataError, ValueError):
    """The source can be read, but holds no image."""


class FormatError(ImagedataError, ValueError):
    """A file is damaged, truncated or contradicts itself."""


class PixelError(FormatError):
    """The pixel data of a frame cannot be decoded."""


class OptionError(ImagedataError, ValueError):
    """An argument has a value that means nothing here."""


class SortError(ImagedataError, ValueError):
    """
    The frames make no complete grid.

    Attributes
    ----------
    groups : tuple of dict
        What was found, one entry a group (series, stack or cell of the grid).
    suggestions : tuple of dict
        Ready-made keyword arguments, each of which solves the problem, e.g. ``{"series": 1}``.
    """

    def __init__(
        self,
        message: str,
        *,
        groups: Sequence[Mapping[str, Any]] = (),
        suggestions: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.groups: tuple[dict[str, Any], ...] = tuple(dict(g) for g in groups)
        self.suggestions: tuple[dict[str, Any], ...] = tuple(dict(s) for s in suggestions)

    def __str__(self) -> str:
        """
        Return the message and the arguments that would solve it.

        Who the patient is stands in `suggestions` only: texts end up in logs.
        """
        text = super().__str__()
        if not self.suggestions:
            return text
        lines = [", ".join(f"{k}={_shown(v)}" for k, v in s.items()) for s in self.suggestions]
        return f"{text}\nOpen it with one of:\n" + "\n".join(f"  {line}" for line in lines)

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the keyword-only data when a worker process sends the error home."""
        state = {"groups": self.groups, "suggestions": self.suggestions}
        return type(self), (self.args[0],), state


def _shown(value: Any) -> str:
    """Return an argument as it is given, without what identifies a patient."""
    if not isinstance(value, dict):
        return repr(value)
    parts = [
        f"{k!r}: {'...' if str(k).startswith('Patient') and k != 'PatientPosition' else repr(v)}"
        for k, v in value.items()
    ]
    return f"{{{', '.join(parts)}}}"


class MultipleSeriesError(SortError):
    """Several series where one is meant."""


class MultipleStacksError(SortError):
    """Several orientations, matrix sizes or colour types in one series."""


class IncompleteGridError(SortError):
    """Frames are missing or double in the grid that the sort keys span."""


class DuplicateFrameError(SortError):
    """One SOP Instance UID stands in several files with different contents."""


class GeometryError(ImagedataError, ValueError):
    """The array has no (regular) position in the patient."""


class GridMismatchError(ImagedataError, xr.AlignmentError):
    """Two arrays lie on different grids and cannot be combined voxel by voxel."""


class HeaderError(ImagedataError, LookupError):
    """There is no source header for a frame."""


class MissingDependencyError(ImagedataError, ImportError):
    """An optional package is needed; the message holds the ``pip install`` line."""


class WriteError(ImagedataError, OSError):
    """A target cannot be written completely."""


class TransportError(ImagedataError, OSError):
    """A server does not do what it was asked. The text holds no patient data and no secret."""


class PeerConnectionError(TransportError, ConnectionError):
    """A server cannot be reached, or stopped answering."""


class AuthenticationError(TransportError, PermissionError):
    """A server does not accept who asks: AE title, certificate, user or password."""


class RejectedError(TransportError):
    """
    A server refuses a request.

    Attributes
    ----------
    status : int or None
        DIMSE or HTTP status, where there is one.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the status when a worker process sends the error home."""
        return type(self), (self.args[0],), {"status": self.status}


class PartialReadError(TransportError):
    """
    Some of what was asked did not arrive.

    Attributes
    ----------
    manifest : imagedata_xr.transports.Manifest or None
        What did arrive.
    missing : tuple of str
        SOP Instance UIDs, as far as they are known.
    """

    def __init__(self, message: str, *, manifest: Any = None, missing: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.manifest = manifest
        self.missing = tuple(missing)

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the lists when a worker process sends the error home."""
        return type(self), (self.args[0],), {"manifest": self.manifest, "missing": self.missing}


class PartialWriteError(TransportError, WriteError):
    """
    Some instances are not acknowledged by the server.

    Attributes
    ----------
    receipt : imagedata_xr.transports.Receipt
        What became of each instance.
    """

    def __init__(self, message: str, *, receipt: Any = None) -> None:
        super().__init__(message)
        self.receipt = receipt

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the receipt when a worker process sends the error home."""
        return type(self), (self.args[0],), {"receipt": self.receipt}


class ImagedataWarning(UserWarning):
    """Root of every warning of the package."""


class DuplicateWarning(ImagedataWarning):
    """Identical duplicates of frames were left out."""


class SpacingWarning(ImagedataWarning):
    """Slices are missing or unevenly spaced."""


class SkippedFileWarning(ImagedataWarning):
    """Files were left out, as the caller asked."""


class DataWarning(ImagedataWarning):
    """Header values contradict each other; the message says which was taken."""


class InsecureWarning(ImagedataWarning):
    """A connection is made without the checks that make it safe, as the caller asked."""


def outside() -> int:
    """Return the stack level, for `warnings.warn` one level up, of the code that called xarray or us."""
    own = inspect.currentframe()
    frame, level = None if own is None else own.f_back, 1
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in ("xarray", "imagedata_xr", "numpy"):
            return level
        frame, level = frame.f_back, level + 1
    return level


def _is_library(filename: str) -> bool:
    folders = (str(Path(__file__).parent), sysconfig.get_path("stdlib"), "<frozen")
    return filename.startswith(folders) or bool(
        {"site-packages", "dist-packages"} & set(Path(filename).parts)
    )


def _place(filename: str) -> str:
    # Code of a cell is compiled under names that mean nothing to people.
    is_cell = "ipykernel" in filename or filename.startswith("<ipython-input")
    return "In this cell" if is_cell else Path(filename).name

"""What a worker does with one series: open, call, write, and leave a record of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.errors import ImagedataError, OptionError, SourceError
from imagedata_xr.formats.dicom.reasons import without_identity
from imagedata_xr.naming import clean
from imagedata_xr.targets import complete_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DONE", "FAILED", "Format", "Outcome", "Task", "Wish", "do", "recorded"]

Format = Literal["nifti", "dicom", "zarr"]
DONE: Final = "done"
FAILED: Final = "failed"
# Hidden: whoever opens the folder of results sees results.
_RECORDS: Final = ".imagedata_xr"
_SUFFIX: Final = {"nifti": ".nii.gz", "dicom": "", "zarr": ".zarr"}
_MOST_NUMBERS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """
    What is the same for all series.

    Attributes
    ----------
    function : callable
    engine : str
    options : dict
        Further arguments that open a series, `chunks` among them.
    output : str or None
        Folder of the results.
    format : str
        Of images that are written.
    overwrite : bool
        Replace results that no record of an earlier run speaks of.
    """

    function: Callable[[xr.DataArray], Any]
    engine: str
    options: dict[str, Any]
    output: str | None
    format: Format
    overwrite: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """
    One series, or stack of it. Small: it travels through the scheduler.

    Attributes
    ----------
    key : str
        Tells it from all others, the same in every run.
    place : str or list of str
        What to open.
    arguments : dict
        That open it.
    name : str
        Folder of its results, below `Wish.output`.
    fingerprint : str
        Of the files and the function; empty where a change would not be seen.
    """

    key: str
    place: str | list[str]
    arguments: dict[str, Any]
    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What came out of one series.

    Attributes
    ----------
    status : str
        ``done`` or ``failed``.
    error : str or None
        Why it failed, without the patient.
    again : bool
        Whether another try may help.
    values : dict
        Numbers and texts that the function returned.
    outputs : tuple of str
        What was written.
    seconds : float
    fingerprint : str
        Of the task.
    """

    status: str
    error: str | None = None
    again: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    seconds: float = 0.0
    fingerprint: str = ""


def do(task: Task, wish: Wish) -> Outcome:
    """
    Work on one series. Never raises: what went wrong is in the outcome.

    With Dask arrays, chunks are computed one after the other in this process: series run side by
    side, and the memory of one is that of its chunks.

    Parameters
    ----------
    task : Task
    wish : Wish
    """
    start = time.perf_counter()
    image = None
    try:
        with _one_chunk_at_a_time(wish):
            place: Any = task.place
            image = xr.open_dataarray(
                place,
                engine=wish.engine,
                **{**wish.options, **task.arguments},
            )
            values, images = _sorted_out(wish.function(image))
            outputs = _write(images, task, wish)
    except MemoryError:
        return Outcome(status=FAILED, error="MemoryError: open it with chunks=", again=False)
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything
        attrs = {} if image is None else {str(k): v for k, v in image.attrs.items()}
        return Outcome(
            status=FAILED,
            error=without_identity(f"{type(error).__name__}: {error}", [attrs]),
            again=not isinstance(error, ImagedataError) or isinstance(error, SourceError),
            seconds=time.perf_counter() - start,
        )
    outcome = Outcome(
        status=DONE,
        values=values,
        outputs=outputs,
        seconds=time.perf_counter() - start,
        fingerprint=task.fingerprint,
    )
    if wish.output is not None:
        _record(task, wish.output, outcome)
    return outcome


@contextlib.contextmanager
def _one_chunk_at_a_time(wish: Wish) -> Iterator[None]:
    if wish.options.get("chunks") is None:
        yield
        return
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield


# Results ----------------------------------------------------------------------------------------


def _sorted_out(result: Any) -> tuple[dict[str, Any], dict[str, xr.DataArray]]:
    """Return the values and the images that a function returned."""
    values: dict[str, Any] = {}
    images: dict[str, xr.DataArray] = {}
    for part in result if isinstance(result, tuple) else (result,):
        if isinstance(part, xr.DataArray):
            _put(images, _name(part), part)
        elif isinstance(part, Mapping | xr.Dataset):
            named = part.data_vars if isinstance(part, xr.Dataset) else part
            for name, value in named.items():
                is_image = isinstance(value, xr.DataArray) and value.ndim > 0
                _put(images if is_image else values, str(name), value)
        elif part is not None:
            raise OptionError(
                f"the function returned a {type(part).__name__}: return a dictionary of values, a "
                "DataArray, or a tuple of both"
            )
    return {name: _plain(name, value) for name, value in values.items()}, images


def _name(image: xr.DataArray) -> str:
    return schema.IMAGE if image.name is None else str(image.name)


def _put(into: dict[str, Any], name: str, value: Any) -> None:
    if name in into:
        raise OptionError(f"the function returned two things named {name!r}: give them names")
    into[name] = value


def _plain(name: str, value: Any) -> Any:
    """Return a value as a record holds it, so that it is the same in this run and the next."""
    if isinstance(value, xr.DataArray):
        value = value.values
    if isinstance(value, np.ndarray | np.generic):
        if value.size > _MOST_NUMBERS:
            raise OptionError(f"value {name!r} has {value.size} numbers: return it as a DataArray")
        value = value.tolist()
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"value {name!r} is a {type(value).__name__}: return numbers, texts or lists of them"
        ) from error


def _write(images: dict[str, xr.DataArray], task: Task, wish: Wish) -> tuple[str, ...]:
    if not images:
        return ()
    if wish.output is None:
        raise OptionError("the function returned an image: output= says where to write it")
    folder = Path(wish.output, task.name)
    places = {name: folder / f"{clean(name)}{_SUFFIX[wish.format]}" for name in images}
    if len({place.name.casefold() for place in places.values()}) < len(places):
        raise OptionError(f"the names of the images are too much alike: {', '.join(places)}")
    # What a killed run left behind may be replaced: its claim says that it was to write there.
    claim = _record_of(task, wish.output).with_suffix(".claim")
    outputs = tuple(map(str, places.values()))
    before = recorded(task, wish.output)
    claimed = _claimed(claim)
    ours = {*claimed, *(before.outputs if before is not None else ())}
    if claimed:
        _sweep(folder)
    claim.parent.mkdir(parents=True, exist_ok=True)
    free = {
        place: wish.overwrite or str(place) in ours or not place.exists()
        for place in places.values()
    }
    if all(free.values()):
        with complete_file(claim, overwrite=True) as part:
            part.write_text(json.dumps(outputs))
    folder.mkdir(parents=True, exist_ok=True)
    for name, place in places.items():
        _write_one(images[name], place, wish.format, overwrite=free[place])
    return outputs


def _sweep(folder: Path) -> None:
    """Remove what a killed writer left half done."""
    for part in folder.glob(".*.part*"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _write_one(image: xr.DataArray, place: Path, form: Format, *, overwrite: bool) -> None:
    if form == "nifti":
        from imagedata_xr.formats.nifti import to_nifti

        to_nifti(image, place, overwrite=overwrite)
    elif form == "dicom":
        from imagedata_xr.formats.dicom.write import to_dicom

        to_dicom(image, place, overwrite=overwrite, progress=False)
    else:
        from imagedata_xr.cohorts.trees import tree_to_zarr

        tree_to_zarr(xr.DataTree(image.to_dataset(name=_name(image))), place, overwrite=overwrite)


# Records ----------------------------------------------------------------------------------------


def _record_of(task: Task, output: str) -> Path:
    digest = hashlib.blake2b(task.key.encode(), digest_size=12).hexdigest()
    return Path(output, _RECORDS, f"{digest}.json")


def _record(task: Task, output: str, outcome: Outcome) -> None:
    """Say that a series is done: after all its results are there, in one step."""
    place = _record_of(task, output)
    place.parent.mkdir(parents=True, exist_ok=True)
    with complete_file(place, overwrite=True) as part:
        part.write_text(
            json.dumps(
                {
                    "fingerprint": outcome.fingerprint,
                    "values": outcome.values,
                    "outputs": outcome.outputs,
                    "seconds": outcome.seconds,
                }
            )
        )
    place.with_suffix(".claim").unlink(missing_ok=True)


def recorded(task: Task, output: str) -> Outcome | None:
    """Return what an earlier run made of a series; None where it did not finish it."""
    try:
        stored = json.loads(_record_of(task, output).read_text())
        stored["outputs"] = tuple(stored["outputs"])
        return Outcome(status=DONE, **stored)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _claimed(claim: Path) -> list[str]:
    try:
        return list(json.loads(claim.read_text()))
    except (OSError, ValueError):
        return []

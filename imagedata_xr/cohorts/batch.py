"""A function over every series of a cohort, on a Dask cluster; a killed run is taken up again."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from imagedata_xr.cohorts.plan import DICOM, SHOWN, plan_of
from imagedata_xr.cohorts.tasks import FAILED, Format, Outcome, Wish, do, recorded
from imagedata_xr.errors import (
    MissingDependencyError,
    OptionError,
    PeerConnectionError,
    WriteError,
)
from imagedata_xr.progress import bar_class, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    import xarray as xr

    from imagedata_xr.cohorts.plan import Planned
    from imagedata_xr.cohorts.tasks import Task

__all__ = ["map_series"]

_COLUMNS: Final = (*SHOWN, "status", "error", "tries", "seconds", "outputs")
# Of what is sent with each series.
_MOST_BYTES: Final = 10_000_000


def map_series(  # noqa: PLR0913 - each option is one thing a user may say
    function: Callable[[xr.DataArray], Any],
    source: Any,
    *,
    cluster: Any = None,
    output: str | os.PathLike[str] | None = None,
    format: Format = "nifti",  # noqa: A002 - the field's word for it
    template: str | None = None,
    chunks: Any = None,
    engine: str = DICOM,
    retries: int = 1,
    resume: bool = True,
    overwrite: bool = False,
    phi: bool = True,
    workers: int | None = None,
    memory_limit: str | int | None = "auto",
    progress: bool | None = None,
    **options: Any,
) -> pd.DataFrame:
    """
    Call a function with every series of a cohort, in parallel.

    Workers open the series themselves: only paths, arguments, the function and its values (each
    of at most 10 MB and 10,000 numbers) travel through the scheduler. Results are written by the
    workers, each complete or not at all.

    With `output`, work survives the death of a worker, of this process, or of the machine: each
    finished series has a record in the folder ``.imagedata_xr`` in it, made after its results.
    The same call again does what is not recorded, what failed, and series of which a file is new,
    gone, or has another size or time of change. So it does everything again where the function's
    own code has changed (what it calls, and what it takes from outside, is not looked at), or
    the options.

    Parameters
    ----------
    function : callable
        Takes one DataArray. Returns a dictionary of values (numbers, texts, short lists), a
        DataArray to be written, a dictionary with both, or a tuple of these. It is sent to the
        workers, so it is best a function of a module or script.
    source : path, URL, list, or DataFrame
        What `imagedata_xr.catalog` takes, or (part of) the table that it returns. Each stack of a
        series is called for itself.
    cluster : LocalCluster, Client, str or None
        A Dask cluster, a client, or the address of a scheduler, whose workers see the same paths;
        by default one on this machine, for this call. Scripts need ``if __name__ ==
        "__main__":`` then.
    output : path-like, optional
        Folder of the results, which is made where its parent exists; workers see it too.
    format : {"nifti", "dicom", "zarr"}
        Of the images that are written.
    template : str, optional
        Names of the series' folders in `output`, such as ``"{PatientID}/{SeriesNumber}"``
        (`imagedata_xr.naming`). By default number, description and some letters that
        tell series apart, without the patient's.
    chunks : optional
        As for `xarray.open_dataarray`: for series larger than memory. The chunks of a series are
        computed one after the other by its worker.
    engine : str
        For other formats than DICOM; `source` is then a list of files, one an image.
    retries : int
        How often to try again after an error of the function, or of reading. A series that kills
        its worker (out of memory, ``kill -9``) is given to another, as often as Dask's
        ``distributed.scheduler.allowed-failures`` says.
    resume : bool
        False does everything again.
    overwrite : bool
        Replace images in `output` that are not from an earlier run.
    phi : bool
        False opens series without what identifies the patient, and leaves it out of the table.
    workers : int, optional
        Processes of the cluster that is made here; by default one a core.
    memory_limit : str, int or None
        Of each of them, as for ``LocalCluster``.
    progress : bool, optional
        Progress bar and the link to Dask's dashboard; by default where a person is looking.
    **options
        Further arguments that open a series, such as ``sort=``.

    Returns
    -------
    pandas.DataFrame
        One row a series (or stack): what it is, ``problems`` that opening warns of as in
        `imagedata_xr.catalog`, ``status`` (``"done"``, ``"failed"``, or
        ``"kept"`` from an earlier run), ``error``, ``tries``, ``seconds``, ``outputs``, and a column
        for each value.

    Raises
    ------
    OptionError
        An argument means nothing, or the function cannot be sent to workers.
    ImagedataError
        The source holds no image.
    WriteError
        `output` cannot be made.
    PeerConnectionError
        No scheduler answers at the address.
    MissingDependencyError
        Without dask and distributed.

    Examples
    --------
    >>> def contrast(image):
    ...     return {"contrast": image.std() / image.mean()}
    >>> table = imagedata_xr.map_series(contrast, "cohort", output="results")  # doctest: +SKIP
    """
    _check(format, output, retries)
    options = {
        **options,
        "chunks": chunks,
        **({"phi": phi, "progress": False} if engine == DICOM else {}),
    }
    wish = Wish(
        function=function,
        engine=engine,
        options=options,
        output=None if output is None else str(Path(output).resolve()),
        format=format,
        overwrite=overwrite,
    )
    if wish.output is not None:
        _make(Path(wish.output))
    plan = list(plan_of(source, wish, template, phi=phi, progress=progress))
    outcomes: dict[str, tuple[str, int, Outcome]] = {}
    waiting: list[Task] = []
    for _, task, _ in plan:
        if task is None:
            continue
        known = _kept(task, wish) if resume else None
        if known is None:
            waiting.append(task)
        else:
            outcomes[task.key] = "kept", 0, known
    if waiting:
        _require_small(wish)
        made = {"n_workers": workers, "memory_limit": memory_limit}
        with _client(cluster, made) as client:
            for task, tries, outcome in _run(client, waiting, wish, retries, progress=progress):
                outcomes[task.key] = outcome.status, tries, outcome
    return _results(plan, outcomes, phi=phi)


def _check(form: str, output: object, retries: int) -> None:
    if form not in get_args(Format):
        raise OptionError(f"format={form!r}: give one of {', '.join(get_args(Format))}")
    if retries < 0:
        raise OptionError(f"retries={retries}: give 0 or more")
    if isinstance(output, str) and "://" in output:
        raise OptionError("output= is a folder that all workers see, no URL")


def _require_small(wish: Wish) -> None:
    """Check that what goes to the workers with each series can, and is no load."""
    try:
        size = len(_distributed("distributed.protocol.pickle").dumps(wish))
    except MissingDependencyError:
        raise
    except Exception as error:
        raise OptionError(
            f"the function cannot be sent to workers ({type(error).__name__}: {error}): open what it "
            "needs inside it"
        ) from error
    if size > _MOST_BYTES:
        raise OptionError(
            f"the function holds {size / 1e6:.0f} MB, which would be sent with each series: open "
            "what it needs inside it"
        )


def _distributed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            'map_series needs dask: pip install "imagedata_xr[distributed]"'
        ) from error


def _make(output: Path) -> None:
    try:
        output.mkdir(exist_ok=True)
    except OSError as error:
        raise WriteError(f"output={str(output)!r} cannot be made: {error.strerror}") from error


def _kept(task: Task, wish: Wish) -> Outcome | None:
    """Return what an earlier run made of a series, if it still holds."""
    if wish.output is None or not task.fingerprint:
        return None
    known = recorded(task, wish.output)
    if known is None or known.fingerprint != task.fingerprint:
        return None
    return known if all(Path(path).exists() for path in known.outputs) else None


# The run ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _client(cluster: Any, made: dict[str, Any]) -> Iterator[Any]:
    distributed = _distributed("distributed")
    if isinstance(cluster, distributed.Client):
        yield cluster
        return
    with contextlib.ExitStack() as stack:
        if cluster is None:
            made = {
                "n_workers": os.cpu_count(),
                **{k: v for k, v in made.items() if v is not None or k == "memory_limit"},
            }
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    threads_per_worker=1, dashboard_address="127.0.0.1:0", **made
                )
            )
        try:
            client = distributed.Client(cluster, set_as_default=False)
        except (OSError, ValueError) as error:
            raise PeerConnectionError(
                f"cluster={cluster!r}: no Dask scheduler answers ({type(error).__name__}: {error})"
            ) from error
        yield stack.enter_context(client)


def _run(
    client: Any, tasks: Sequence[Task], wish: Wish, retries: int, *, progress: bool | None
) -> Iterator[tuple[Task, int, Outcome]]:
    """Yield the outcome of every task, as they come."""

    def submit(task: Task) -> Any:
        future = client.submit(do, task, wish, pure=False)
        running[future.key] = task
        return future

    running: dict[str, Task] = {}
    tries: Counter[str] = Counter()
    show = watched() if progress is None else progress
    with _bar(client, len(tasks), show=show) as advance:
        coming = _distributed("distributed").as_completed(
            [submit(task) for task in tasks], loop=client.loop
        )
        for future in coming:
            task = running.pop(future.key)
            tries[task.key] += 1
            outcome = _outcome(future)
            future.release()
            if outcome.status == FAILED and outcome.again and tries[task.key] <= retries:
                coming.add(submit(task))
                continue
            advance()
            yield task, tries[task.key], outcome


def _outcome(future: Any) -> Outcome:
    try:
        if future.status == "finished":
            result: Outcome = future.result()
            return result
        error = future.exception() if future.status == "error" else None
    except (OSError, asyncio.CancelledError, concurrent.futures.CancelledError):
        # The scheduler died between the news of the result and the result.
        error = None
    if error is None:
        return Outcome(
            status=FAILED,
            error="the scheduler was lost: the same call again, with one that runs, does what is left",
        )
    name = type(error).__name__
    if name == "KilledWorker":
        return Outcome(
            status=FAILED,
            error="KilledWorker: each worker that had the series died; it may need more memory: "
            "chunks=, fewer workers, or a larger memory_limit",
        )
    cause = "" if error.__cause__ is None else f" ({error.__cause__})"
    return Outcome(status=FAILED, error=f"{name}: {error}{cause}")


@contextlib.contextmanager
def _bar(client: Any, total: int, *, show: bool) -> Iterator[Callable[[], Any]]:
    if not show:
        yield lambda: None
        return
    tqdm = bar_class()
    link = client.dashboard_link
    if link:
        tqdm.write(f"dashboard: {link}", file=sys.stderr)
    with tqdm(total=total, desc="series", unit="series") as bar:
        yield bar.update


def _results(
    plan: Iterable[Planned],
    outcomes: Mapping[str, tuple[str, int, Outcome]],
    *,
    phi: bool,
) -> pd.DataFrame:
    import pandas as pd

    columns = [name for name in _COLUMNS if phi or name != "PatientID"]
    records, names = [], {}
    for shown, task, reason in plan:
        if task is None:
            status, tries, outcome = FAILED, 0, Outcome(status=FAILED, error=reason)
        else:
            status, tries, outcome = outcomes[task.key]
        values = {(f"{key}_" if key in _COLUMNS else key): v for key, v in outcome.values.items()}
        names.update(dict.fromkeys(values))
        records.append(
            {
                **shown,
                "status": status,
                "error": outcome.error,
                "tries": tries,
                "seconds": outcome.seconds,
                "outputs": outcome.outputs,
                **values,
            }
        )
    return pd.DataFrame(records, columns=[*columns, *names])

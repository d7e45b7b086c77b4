"""Which images a command reads: words of the command line to arguments of engines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from imagedata_xr.errors import ImagedataError, NoImagesError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import xarray as xr

__all__ = ["Choice", "Found", "calling", "engine_of", "open_each", "open_image"]

# Engines beside DICOM, by the names of their files.
_SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "nifti": (".nii", ".nii.gz", ".hdr"),
    "itk": (".mha", ".mhd", ".nrrd", ".nhdr", ".vtk", ".gipl", ".tif", ".tiff", ".png", ".jpg"),
    "mat": (".mat",),
}
_DICOM: Final = "dicom"
_ENGINES: Final = (_DICOM, *_SUFFIXES)
_NONE, _AUTO = "none", "auto"
_BEGINNING: Final = 132


@dataclass(frozen=True, slots=True, kw_only=True)
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
    input_format : str or None
        Name of the engine; None to look at the files.
    input_options : tuple of str
        ``name=value`` each, for the engine.
    chunks : str or None
        ``auto``, or sizes such as ``slice=1,time=10``.
    """

    order: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    stack: int | None = None
    errors: str = "raise"
    input_format: str | None = None
    input_options: tuple[str, ...] = ()
    chunks: str | None = None

    def arguments(self, engine: str = _DICOM) -> dict[str, Any]:
        """
        Return the keyword arguments of ``xarray.open_dataarray``, without those not given.

        Raises
        ------
        OptionError
            An option is no such thing, or means nothing for the engine.
        """
        options = dict(_option(text) for text in self.input_options)
        keys = {name: options.pop(name) for name in list(options) if _is_keyword(options[name])}
        own: dict[str, Any] = {
            "sort": _sort(self.order, keys),
            "series": _series(self.series),
            "select": _select(self.select),
            "stack": self.stack,
            "errors": None if self.errors == "raise" else self.errors,
        }
        given = {name: value for name, value in own.items() if value is not None}
        if engine != _DICOM and given:
            names = {"sort": "order"}
            listed = ", ".join(f"--{names.get(name, name)}" for name in given)
            raise OptionError(f"{listed}: only DICOM is sorted; this is {engine}")
        _check_options(options, engine)
        chunks = _chunks(self.chunks)
        return given | options | ({} if chunks is None else {"chunks": chunks})


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """
    One image of several, or the reason why it is none.

    Attributes
    ----------
    name : str
        Path of the file, or ``/patient/study/series``.
    image : DataArray or None
    problem : str
        Empty where there is an image.
    """

    name: str
    image: xr.DataArray | None
    problem: str = ""


def calling(url: str, title: str) -> str:
    """
    Return the URL of a DICOM server with our own AE title in it, and all else as it is.

    Parameters
    ----------
    url : str
    title : str
    """
    if not url.startswith(("dicom://", "dicoms://")):
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'calling': title})}"


def engine_of(sources: Sequence[str], choice: Choice) -> tuple[str, list[str]]:
    """
    Tell by which engine to read, and what exactly.

    Parameters
    ----------
    sources : sequence of str
        Paths or URLs. A folder without DICOM may hold files of one other format.
    choice : Choice

    Returns
    -------
    str
        Name of the engine.
    list of str
        The sources, or the files in a folder of another format than DICOM.

    Raises
    ------
    OptionError
        There is no such engine, or the sources are of several formats.
    """
    asked = choice.input_format
    if asked is not None:
        if asked not in _ENGINES:
            raise OptionError(f"--input_format {asked}: give one of {', '.join(_ENGINES)}")
        return asked, _files(sources, asked) if asked != _DICOM else list(sources)
    engines = {source: _engine(source) for source in sources}
    kinds = sorted(set(engines.values()))
    if len(kinds) > 1:
        listed = ", ".join(f"{source} is {kind}" for source, kind in engines.items())
        raise OptionError(f"the inputs are of several formats ({listed}): convert each by itself")
    engine = kinds[0] if kinds else _DICOM
    return engine, _files(sources, engine) if engine != _DICOM else list(sources)


def _engine(source: str) -> str:
    named = _by_suffix(source)
    if named is not None:
        return named
    path = Path(source)
    if not path.is_dir():
        return _DICOM
    others = {kind for kind in map(_by_suffix, map(str, _listing(path))) if kind is not None}
    if len(others) == 1 and not any(_is_dicom(file) for file in _listing(path)):
        return others.pop()
    return _DICOM


def _by_suffix(name: str) -> str | None:
    lower = name.lower()
    return next((kind for kind, ends in _SUFFIXES.items() if lower.endswith(ends)), None)


def _listing(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _is_dicom(path: Path) -> bool:
    if _by_suffix(str(path)) is not None:
        return False
    try:
        with path.open("rb") as file:
            return file.read(_BEGINNING)[128:] == b"DICM" or path.suffix.lower() == ".dcm"
    except OSError:
        return False


def _files(sources: Sequence[str], engine: str) -> list[str]:
    """Return the files of an engine that opens no folders."""
    found: list[str] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            found += [str(file) for file in _listing(path) if _by_suffix(str(file)) == engine]
        else:
            found.append(source)
    return found


def open_image(
    sources: Sequence[str], choice: Choice, *, progress: bool | None = None
) -> xr.DataArray:
    """
    Open the one image that is meant.

    Parameters
    ----------
    sources : sequence of str
    choice : Choice
    progress : bool, optional
        False for no progress bar.

    Raises
    ------
    ImagedataError
        There is none, or several; the message says how to choose.
    """
    import xarray as xr

    engine, paths = engine_of(sources, choice)
    arguments = choice.arguments(engine)
    if engine == _DICOM:
        arguments["progress"] = progress
    elif len(paths) != 1:
        if not paths:
            raise NoImagesError(f"no file of the format {engine} in {', '.join(sources)}")
        listed = "\n".join(f"  {path}" for path in paths)
        raise OptionError(f"{len(paths)} {engine} files where one is meant:\n{listed}")
    several = len(paths) != 1
    source: Any = paths if several else paths[0]
    return xr.open_dataarray(source, engine=engine, **arguments)


def open_each(
    sources: Sequence[str], choice: Choice, *, phi: bool = True, progress: bool | None = None
) -> Iterator[Found]:
    """
    Open every image there is: each series of DICOM, each file of another format.

    Parameters
    ----------
    sources : sequence of str
    choice : Choice
        With a series, a selection or a stack: the one image that is meant.
    phi : bool
        False leaves patient identity out of names and attributes.
    progress : bool, optional
        False for no progress bar.

    Yields
    ------
    Found
    """
    engine, paths = engine_of(sources, choice)
    if choice.series or choice.select or choice.stack is not None:
        image = open_image(sources, choice, progress=progress)
        yield Found(_title(image), image)
        return
    import xarray as xr

    arguments = choice.arguments(engine)
    if engine != _DICOM:
        for path in paths:
            try:
                yield Found(path, xr.open_dataarray(path, engine=engine, **arguments))
            except ImagedataError as error:
                yield Found(path, None, str(error))
        return
    source: Any = paths if len(paths) != 1 else paths[0]
    tree = xr.open_datatree(source, engine=engine, phi=phi, progress=progress, **arguments)
    for node in tree.subtree:
        if "image" in node.data_vars:
            yield Found(node.path, node.to_dataset()["image"])
        elif "error" in node.attrs:
            yield Found(node.path, None, str(node.attrs["error"]))


def _title(image: xr.DataArray) -> str:
    parts = [image.attrs.get(name) for name in ("SeriesNumber", "SeriesDescription")]
    return " ".join(str(part) for part in parts if part is not None) or "image"


def _series(series: tuple[str, ...]) -> str | list[str] | None:
    if len(series) == 1:
        return series[0]
    return list(series) or None


def _sort(order: tuple[str, ...], redefined: Mapping[str, str]) -> Any:
    parts = [part.strip() for text in order for part in text.split(",") if part.strip()]
    if parts == [_NONE]:
        return []
    keys: list[str | dict[str, str]] = []
    for part in parts if parts != [_AUTO] else []:
        name, equals, keyword = (piece.strip() for piece in part.partition("="))
        if equals and not (name.isidentifier() and keyword):
            raise OptionError(f"--order {part}: give NAME=KEYWORD, e.g. ti=InversionTime")
        keyword = keyword or redefined.get(name, "")
        keys.append({name: keyword} if keyword else name)
    if not keys and redefined:
        keys = [{name: keyword} for name, keyword in redefined.items()]
    if not keys:
        return None
    return keys[0] if len(keys) == 1 else keys


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier() or not value:
        raise OptionError(f"--input_options {text}: give NAME=VALUE, e.g. rescale=false")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), {"True": True, "False": False, "None": None}.get(value, value)


def _check_options(options: Mapping[str, Any], engine: str) -> None:
    from xarray.backends import list_engines

    known = list_engines()[engine].open_dataset_parameters or ()
    unknown = [name for name in options if name not in known[1:]]
    if unknown:
        raise OptionError(
            f"--input_options {unknown[0]}: the engine {engine} has no such option; it has "
            f"{', '.join(known[1:])}"
        )


def _is_keyword(value: Any) -> bool:
    """Tell whether an option redefines a sort key, as in ``time=TriggerTime``."""
    from imagedata_xr.formats.dicom.headers.dictionary import TAG_OF

    return isinstance(value, str) and value in TAG_OF


def _chunks(text: str | None) -> Any:
    if text is None or text == _AUTO:
        return text
    found: dict[str, int] = {}
    for part in text.split(","):
        name, equals, size = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not size.lstrip("-").isdigit() or int(size) in (0, -2):
            raise OptionError(f"--chunks {text}: give auto, or DIM=SIZE, e.g. slice=10,time=1")
        found[name] = int(size)
    return found


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

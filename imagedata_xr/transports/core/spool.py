"""
The private folder on disk through which instances go.

Files appear in it complete or not at all, and survive the process: what was interrupted goes on
where it stopped. It is readable by its owner only, its names say nothing of patients, and what is
old or too much is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import OptionError, SourceError, TransportError, WriteError
from imagedata_xr.transports.core.part10 import file_header, identify, safe_name
from imagedata_xr.transports.core.results import Instance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import BinaryIO, Self

__all__ = [
    "Incoming",
    "Ledger",
    "Spool",
    "clear_spool",
    "data_set_digest",
    "existing",
    "instance_of",
    "made_folder",
    "spool_root",
    "sweep",
]

ENVIRONMENT: Final = "IMAGEDATA_XR_SPOOL"
ENVIRONMENT_SIZE: Final = "IMAGEDATA_XR_SPOOL_BYTES"
_LARGEST: Final = 100 << 30
_FREE_PART: Final = 0.5
_OLDEST: Final = 7 * 86400.0
_PRIVATE: Final = 0o700
_SUFFIX: Final = ".part"
_PART: Final = re.compile(r"\.\d+-[0-9a-f]+\.part")
_IDLE: Final = 600.0
_LEDGER: Final = "ledger.jsonl"


def spool_root() -> Path:
    """
    Return the folder that holds all spools, made where it is not there.

    ``IMAGEDATA_XR_SPOOL`` names another one than that in the folder for temporary files.

    Raises
    ------
    SourceError
        It belongs to someone else, or others may read it.
    """
    named = os.environ.get(ENVIRONMENT)
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    root = Path(named) if named else Path(tempfile.gettempdir()) / f"imagedata_xr-spool-{user}"
    root.mkdir(mode=_PRIVATE, parents=bool(named), exist_ok=True)
    status = root.lstat()
    own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    if not stat.S_ISDIR(status.st_mode) or not own:
        raise SourceError(f"{root}: is no folder of yours; set {ENVIRONMENT} to another one")
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
        root.chmod(_PRIVATE)
    return root


def clear_spool() -> int:
    """
    Remove everything from the spool that no running transfer holds.

    Returns
    -------
    int
        Bytes that were removed.

    Examples
    --------
    >>> transports.clear_spool() >= 0  # bytes
    True
    """
    return _shrink(spool_root(), keep=None, largest=0, oldest=0)


class Spool:
    """
    The place of one transfer, or of one series that is read from a server.

    Parameters
    ----------
    *key : str
        What it is for: server, UIDs. Only a hash of it is on disk.
    """

    def __init__(self, *key: str) -> None:
        digest = hashlib.sha256("\0".join(key).encode("utf-8", "surrogateescape")).hexdigest()
        root = spool_root()
        self.folder = root / digest[:40]
        self.folder.mkdir(mode=_PRIVATE, exist_ok=True)
        os.utime(self.folder)
        self.ledger = Ledger(self.folder / _LEDGER)
        for left in self.folder.glob(f"*{_SUFFIX}"):
            if _is_abandoned(left):
                left.unlink(missing_ok=True)
        _shrink(root, keep=self.folder, largest=_largest(root), oldest=_OLDEST)

    def remove(self) -> None:
        """Remove the spool and all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(slots=True)
class Ledger:
    """
    Lines of JSON that survive a kill: a line that was not written completely is ignored.

    Attributes
    ----------
    path : Path
    """

    path: Path

    def add(self, **entry: object) -> None:
        """Append an entry."""
        line = json.dumps(entry, separators=(",", ":")).encode()
        # A line that was cut off by a kill must not swallow this one.
        with self._open() as file:
            file.write(b"\n" + line + b"\n")

    def _open(self) -> BinaryIO:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.fdopen(os.open(self.path, flags, 0o600), "ab", buffering=0)

    def __iter__(self) -> Iterator[dict[str, object]]:
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            with contextlib.suppress(ValueError):
                entry = json.loads(line) if line else None
                if isinstance(entry, dict):
                    yield entry

    def instances(self) -> dict[str, Instance]:
        """Return the instances that it lists and whose files are there as it says, by UID."""
        found: dict[str, Instance] = {}
        for entry in self:
            with contextlib.suppress(TypeError):
                one = Instance(**entry)  # type: ignore[arg-type]
                with contextlib.suppress(OSError):
                    if Path(one.path).stat().st_size == one.size:
                        found[one.uid] = one
        return found

    def add_instance(self, one: Instance) -> None:
        """Append an instance."""
        self.add(**asdict(one))

    def remove(self) -> None:
        """Remove the ledger."""
        self.path.unlink(missing_ok=True)


@dataclass(slots=True)
class Incoming:
    """
    One instance on its way into a folder: it gets its name when it is complete.

    Used as ``with Incoming(...) as incoming``: without `finish` it leaves nothing.

    Attributes
    ----------
    folder : Path
    uid, sop_class, syntax : str
    limit : int
        The most bytes that are taken.
    durable : bool
        Wait until the disk has it: for what a sender deletes after the acknowledgement.
    overwrite : bool
        Replace a file of this name that has other contents.
    study, series : str
        For the manifest.
    header : bytes, optional
        All that comes before the data set, where it came along; by default it is made.
    """

    folder: Path
    uid: str
    sop_class: str
    syntax: str
    limit: int
    durable: bool = False
    overwrite: bool = False
    study: str = ""
    series: str = ""
    header: bytes | None = field(default=None, repr=False)
    _part: Path = field(init=False)
    _file: BinaryIO = field(init=False)
    _size: int = field(init=False, default=0)
    _hash: Any = field(init=False)

    def __post_init__(self) -> None:
        self._part = self.folder / f".{os.getpid()}-{uuid.uuid4().hex}{_SUFFIX}"
        self._hash = hashlib.sha256()
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=1 << 20)
        self._file.write(self.header or file_header(self.sop_class, self.uid, self.syntax))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """
        Append to the data set.

        Raises
        ------
        TransportError
            It becomes larger than the limit.
        """
        self._size += len(data)
        if self._size > self.limit:
            raise TransportError(f"an instance has more than {self.limit} bytes: not taken")
        self._hash.update(data)
        self._file.write(data)

    def opened(self) -> BinaryIO:
        """Return the file as far as it is written, for reading."""
        self._file.flush()
        return self._part.open("rb")

    @property
    def path(self) -> Path:
        """The file's name when it is complete."""
        return self.folder / f"{safe_name(self.uid)}.dcm"

    def finish(self) -> Instance:
        """
        Give the file its name.

        Raises
        ------
        WriteError
            There is a file of this name with other contents.
        """
        self._file.flush()
        if self.durable:
            os.fsync(self._file.fileno())
        self._file.close()
        if not self.path.exists():
            self._part.replace(self.path)
        elif not _same_data_set(self.path, self):
            if not self.overwrite:
                raise WriteError(
                    f"{self.path}: is there already, with other contents; "
                    "overwrite=True replaces it"
                )
            self._part.replace(self.path)
        size = self.path.stat().st_size
        if self.durable:
            _sync_folder(self.folder)
        return Instance(
            uid=self.uid,
            path=str(self.path),
            size=size,
            digest=self._hash.hexdigest(),
            syntax=self.syntax,
            sop_class=self.sop_class,
            study=self.study,
            series=self.series,
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the data set so far."""
        return str(self._hash.hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)


def made_folder(folder: str | os.PathLike[str]) -> Path:
    """
    Return a folder for what is fetched, made where it is not there.

    Raises
    ------
    WriteError
        It cannot be made.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{place}: cannot be made: {error.strerror}") from None
    return place


def sweep(folder: Path) -> None:
    """
    Remove from a folder what killed processes have left half-written.

    Another machine may write there: what was written to lately stays.
    """
    for part in folder.glob(f".*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            idle = time.time() - part.stat().st_mtime > _IDLE
            if idle and _PART.fullmatch(part.name) and _is_abandoned(part):
                part.unlink()


def _same_data_set(path: Path, incoming: Incoming) -> bool:
    with path.open("rb") as file:
        try:
            there = identify(file, str(path))
        except ValueError:
            return False
        same_syntax = there.syntax == incoming.syntax
        return same_syntax and data_set_digest(file, there.offset) == incoming.digest


def instance_of(path: Path) -> Instance:
    """
    Return the instance that a file is.

    Raises
    ------
    FormatError
        It is none.
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        identity = identify(file, path.name)
        return Instance(
            uid=identity.uid,
            path=str(path),
            size=file.seek(0, 2),
            digest=data_set_digest(file, identity.offset),
            syntax=identity.syntax,
            sop_class=identity.sop_class,
            study=identity.study,
            series=identity.series,
        )


def existing(folder: Path, uid: str, series: str) -> Instance | None:
    """Return the instance of a series that is in a folder already; None where it is not."""
    try:
        there = instance_of(folder / f"{safe_name(uid)}.dcm")
    except (OSError, ValueError):
        return None
    return there if (there.uid, there.series) == (uid, series) else None


def data_set_digest(file: BinaryIO, offset: int) -> str:
    """Return the SHA-256 of a file from an offset on."""
    file.seek(offset)
    digest = hashlib.sha256()
    while data := file.read(1 << 20):
        digest.update(data)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_abandoned(part: Path) -> bool:
    """Tell whether the process that wrote a file is gone: its number is in the name."""
    number = part.name.lstrip(".").partition("-")[0]
    if not number.isdigit():
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _largest(root: Path) -> int:
    named = os.environ.get(ENVIRONMENT_SIZE)
    if named is None:
        return min(_LARGEST, int(shutil.disk_usage(root).free * _FREE_PART))
    try:
        return int(named)
    except ValueError:
        raise OptionError(f"{ENVIRONMENT_SIZE}={named!r}: give a number of bytes") from None


def _shrink(root: Path, *, keep: Path | None, largest: int, oldest: float) -> int:
    """Remove the spools that were not used for longest, and return their bytes."""
    spools: list[tuple[float, int, Path]] = []
    for folder in root.iterdir():
        if folder.is_dir() and not folder.is_symlink():
            with contextlib.suppress(OSError):
                spools.append((folder.stat().st_mtime, _size(folder), folder))
    total = sum(size for _, size, _ in spools)
    removed = 0
    now = time.time()
    for used, size, folder in sorted(spools):
        if folder == keep or (now - used < oldest and total - removed <= largest):
            continue
        if any(not _is_abandoned(part) for part in folder.glob(f"*{_SUFFIX}")):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        removed += size
    return removed


def _size(folder: Path) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_size
    return total

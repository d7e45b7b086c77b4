"""Members of archives and remote files as files on disk, for libraries that open nothing else."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import OptionError
from imagedata_xr.sources import LocalFile, find_sources
from imagedata_xr.sources.archives import ENDINGS
from imagedata_xr.transports.core.spool import Spool

if TYPE_CHECKING:
    from imagedata_xr.frames import Source

__all__ = ["on_disk"]

_ELSEWHERE: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.\-]+://|.*(\.zip|\.t[^/\\]*)(/|\\|\?|::).", re.DOTALL
)
# Their voxels are in another file.
_HEADERS: Final = (".mhd", ".nhdr", ".hdr", ".img")


def on_disk(source: Any) -> Any:
    """
    Return the path of a file, or of a private copy where it is in an archive or behind a URL.

    Parameters
    ----------
    source : object
        Anything but the name of what is not on disk is returned as it is.

    Returns
    -------
    object
        A path, or a list of paths where several files are meant. Copies are in the spool
        (`imagedata_xr.transports.clear_spool`), named by their contents.

    Raises
    ------
    SourceError
        It cannot be read.
    OptionError
        It is a header whose voxels would be left behind.
    """
    if not isinstance(source, str | os.PathLike):
        return source
    name = os.fspath(source)
    if os.path.lexists(os.path.expanduser(name)):  # noqa: PTH111 - as it stands
        if not name.lower().endswith(ENDINGS) or Path(name).is_dir():
            return source
    elif not _ELSEWHERE.match(name):
        return source
    found = [_copied(one) for one in find_sources(source)]
    return found[0] if len(found) == 1 else found


def _copied(source: Source) -> str:
    if isinstance(source, LocalFile):
        return source.path
    name = PurePosixPath(source.name.replace("\\", "/").partition("?")[0]).name.rpartition("::")[2]
    if name.lower().endswith(_HEADERS):
        raise OptionError(
            f"{source.name}: its voxels are in another file: unpack both, or copy them to the disk"
        )
    # The name is another's choice; its ending says the format.
    ending = "".join(PurePosixPath(name).suffixes[-2:])[-16:]
    with tempfile.TemporaryDirectory(prefix="imagedata_xr-") as private:
        part = Path(private, "part")
        digest = hashlib.sha256()
        with source.open() as file, part.open("wb") as out:
            while piece := file.read(1 << 20):
                digest.update(piece)
                out.write(piece)
        folder = Spool("file", digest.hexdigest()).folder
        path = folder / f"{digest.hexdigest()[:16]}{_plain(ending)}"
        if not path.exists():
            whole = folder / f".{os.getpid()}-{digest.hexdigest()[:8]}.part"
            shutil.move(part, whole)
            whole.replace(path)
    return str(path)


def _plain(ending: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]", "", ending)

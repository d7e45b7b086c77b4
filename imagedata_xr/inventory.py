"""What the package reads and writes, and what of it is installed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PARTS", "Part", "list_formats", "report"]

PLUGINS: Final = "imagedata_xr.sortkeys"
TITLES: Final = {
    "engine": 'Engines, xr.open_dataarray(source, engine="...")',
    "writer": "Writers, imagedata_xr.NAME(image, target) or image.med.NAME(target)",
    "source": "Where images come from",
    "other": "Besides",
    "plug-in": "Plug-ins of other packages",
}


@dataclass(frozen=True, slots=True)
class Part:
    """
    Something that the package does.

    Attributes
    ----------
    kind : {"engine", "writer", "source", "other", "plug-in"}
    name : str
        How it is called.
    does : str
        Files or purpose.
    packages : tuple of str
        What it needs besides the package's own dependencies, as PyPI calls it.
    extra : str
        Extra of the package that brings them; empty: they are installed by their own names.
    """

    kind: str
    name: str
    does: str
    packages: tuple[str, ...] = ()
    extra: str = ""

    @property
    def versions(self) -> dict[str, str | None]:
        """Version of each package that is needed, None where it is missing."""
        return {name: _version(name) for name in self.packages}

    @property
    def is_installed(self) -> bool:
        """Whether nothing is missing."""
        return None not in self.versions.values()

    @property
    def remedy(self) -> str:
        """The command that installs what is missing; empty where nothing is."""
        missing = [name for name, found in self.versions.items() if found is None]
        if not missing:
            return ""
        if self.extra:
            return f'pip install "imagedata_xr[{self.extra}]"'
        return f"pip install {' '.join(missing)}"


PARTS: Final = (
    Part("engine", "dicom", "folders, files and archives of DICOM, also without suffix"),
    Part(
        "engine",
        "dicom, compressed",
        "JPEG, JPEG-LS, JPEG 2000, HTJ2K (RLE and deflated need nothing)",
        ("pylibjpeg", "pyjpegls", "imagecodecs"),
        "codecs",
    ),
    Part("engine", "nifti", ".nii, .nii.gz, .hdr/.img"),
    Part(
        "engine",
        "itk",
        ".mha, .mhd, .nrrd, .nhdr, .vtk, .gipl, Analyze, .tif, .png, .jpg",
        ("SimpleITK",),
        "itk",
    ),
    Part("engine", "mat", ".mat of MATLAB, v4, v5 and v7.3", ("h5py",), "mat"),
    Part("writer", "to_dicom", "folder, .zip or URL; single frames"),
    Part("writer", "to_dicom, multi-frame", "enhanced multi-frame objects", ("highdicom",), "objects"),
    Part("writer", "to_dicom_seg", "DICOM Segmentation"),
    Part("writer", "to_nifti", ".nii, .nii.gz with .json, .bval, .bvec", ("nibabel",), "nifti"),
    Part(
        "writer",
        "to_itk",
        ".mha, .mhd, .nrrd, .nhdr, .vtk, .gipl, .tif, .png",
        ("SimpleITK",),
        "itk",
    ),
    Part("writer", "to_mat", ".mat of MATLAB", ("scipy", "h5py"), "mat"),
    Part(
        "writer",
        "to_image",
        ".png, .jpg, .tif, .gif, .mp4 for slides and papers",
        ("pillow", "imageio-ffmpeg"),
        "pictures",
    ),
    Part("writer", "to_netcdf, to_zarr", "of xarray itself", ("h5netcdf", "zarr"), "io"),
    Part("source", "file systems", "paths, globs, .zip, .tar, .tar.gz, file objects"),
    Part("source", "http://, https://", "web servers", ("aiohttp",)),
    Part("source", "s3://", "S3 and what speaks like it", ("s3fs",)),
    Part("source", "DICOM servers", "echo, find, send", ("pynetdicom",), "network"),
    Part("other", "chunks={}", "Dask: parallel, larger than memory", ("dask", "distributed"), "distributed"),
    Part("other", "med.view, med.hv", "the viewer", ("holoviews", "bokeh", "panel"), "viewer"),
    Part("other", "med.to_rgb", "colour maps besides gray and hot", ("matplotlib", "cmcrameri"), "colors"),
    Part("other", "med.resample", "linear and B-spline", ("scipy",), "resample"),
    Part("other", "roi.outlines", "outlines of masks", ("contourpy",), "roi"),
    Part("other", "med.deidentify", "de-identification", ("dicom-anonymizer",), "deidentify"),
)  # fmt: skip


def list_formats() -> pd.DataFrame:
    """
    Return what the package reads, writes and does, and what of it is installed here.

    ``python -m imagedata_xr formats`` prints it.

    Returns
    -------
    pandas.DataFrame
        One row for each engine, writer, source and function that needs a package, with the columns
        ``kind``, ``name``, ``does``, ``installed``, ``packages`` (with their versions) and
        ``install`` (the command for what is missing).

    Examples
    --------
    >>> table = imagedata_xr.list_formats()
    >>> table[~table.installed][["name", "install"]]  # doctest: +SKIP
    """
    import pandas as pd

    rows = [
        {
            "kind": part.kind,
            "name": part.name,
            "does": part.does,
            "installed": part.is_installed,
            "packages": ", ".join(f"{n} {v or '(missing)'}" for n, v in part.versions.items()),
            "install": part.remedy,
        }
        for part in (*PARTS, *_plugins())
    ]
    return pd.DataFrame(rows)


def report() -> list[str]:
    """Return the table as lines of text."""
    table = list_formats()
    wide = max(map(len, table["name"]))
    lines: list[str] = []
    for kind, title in TITLES.items():
        rows = table[table["kind"] == kind]
        if not len(rows):
            continue
        lines += ["", title] if lines else [title]
        for row in rows.to_dict("records"):
            mark = "yes" if row["installed"] else "no "
            told = row["install"] or row["packages"]
            text = f"  {mark}  {row['name']:<{wide}}  {row['does']}"
            lines.append(f"{text}  [{told}]" if told else text)
    return lines


def _plugins() -> list[Part]:
    """Return what other packages add."""
    return [
        Part("plug-in", point.name, f"sort key, {point.value}")
        for point in entry_points(group=PLUGINS)
    ]


def _version(package: str) -> str | None:
    """Return the version of a package, without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        pass
    try:
        # Some installers keep the spelling of old times.
        return version(re.sub(r"[-_.]+", "_", package))
    except PackageNotFoundError:
        return None

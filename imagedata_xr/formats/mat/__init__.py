"""MAT files of MATLAB, of version 5 through SciPy and of version 7.3 through h5py."""

from __future__ import annotations

from imagedata_xr.formats.mat.write import to_mat

__all__ = ["to_mat"]

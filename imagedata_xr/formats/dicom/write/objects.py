"""highdicom, the field's library of DICOM objects: imported when needed, and kept from talking."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydicom import config

from imagedata_xr.errors import MissingDependencyError, WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["require_highdicom", "through_highdicom"]


def require_highdicom() -> Any:
    """Return highdicom, or raise MissingDependencyError."""
    try:
        import highdicom
        import highdicom.legacy
    except ImportError as error:
        raise MissingDependencyError(
            'multi-frame DICOM needs highdicom: pip install "imagedata_xr[objects]"'
        ) from error
    return highdicom


@contextmanager
def through_highdicom(problem: str) -> Iterator[None]:
    """
    Make an object without a word to others: logs and warnings hold UIDs and doubtful names.

    Parameters
    ----------
    problem : str
        Begins the message where highdicom refuses.

    Raises
    ------
    WriteError
        highdicom cannot make the object.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with config.disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise WriteError(f"{problem}: {error}") from error
    finally:
        logging.disable(before)

"""Header values by DICOM keyword: what their mappings share, and one frame among several."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagedata_xr.frames import Value

__all__ = ["FrameValues", "KeywordValues"]


class KeywordValues(Mapping[str, "Value"]):
    """Values that are looked up one by one by `get`; what has no value is not there."""

    __slots__ = ()

    @abstractmethod
    def get(self, keyword: str, default: Any = None) -> Any:
        """Return a value, or `default` where there is none."""

    def __getitem__(self, keyword: str) -> Value:
        value: Value = self.get(keyword)
        if value is None:
            raise KeyError(keyword)
        return value

    def __len__(self) -> int:
        return sum(1 for _ in self)


class FrameValues(KeywordValues):
    """
    What is this frame's own, before what the instance says of all its frames.

    Parameters
    ----------
    instance : Mapping of str to Value
        Header values of the instance; its `dataset()` gives the pydicom Dataset.
    own : Mapping of str to Value
        The frame's own values; None hides what the instance says.
    """

    __slots__ = ("_instance", "_own")

    def __init__(self, instance: Mapping[str, Value], own: Mapping[str, Value]) -> None:
        self._instance = instance
        self._own = MappingProxyType(dict(own))

    def get(self, keyword: str, default: Any = None) -> Any:
        """Return a value, or `default` where neither frame nor instance has one."""
        value = self._own[keyword] if keyword in self._own else self._instance.get(keyword)
        return default if value is None else value

    def __iter__(self) -> Iterator[str]:
        yield from (keyword for keyword, value in self._own.items() if value is not None)
        yield from (keyword for keyword in self._instance if keyword not in self._own)

    def dataset(self) -> Any:
        """Return the full pydicom Dataset of the instance, without the pixels."""
        return self._instance.dataset()  # type: ignore[attr-defined]

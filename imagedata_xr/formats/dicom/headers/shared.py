"""What the headers of alike files have in common, and what was worked out from it once for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagedata_xr.frames import Value

__all__ = ["DECISIVE", "Memory", "Shared"]

# Specific Character Set and Pixel Representation decide on how other values are read.
DECISIVE: Final = (0x00080005, 0x00280103)
# What has more different results than this is not worth remembering, and neither is what has this
# many of which few were asked for again: to note what a function looks at costs as much as it does.
_MOST: Final = 1024
_FEW: Final = 64


class Shared:
    """
    One file's header, which others differ from in few values. Not to be changed.

    Parameters
    ----------
    elements : dict of int to bytes
        Raw values in little endian by tag.
    facts : tuple
        The same for all files: Transfer Syntax UID, pixel tag, whether they are in little endian
        and were read by pydicom, VRs, other tags, and private creators, as `Header` has them.

    Attributes
    ----------
    values : dict of int to Value
        Decoded values, filled when asked for.
    memory : dict of callable to Memory
        What functions of headers gave.
    varying : set of int
        Tags of which another file has another value.
    """

    __slots__ = (
        "creators",
        "elements",
        "facts",
        "from_pydicom",
        "is_little_endian",
        "memory",
        "others",
        "pixel_tag",
        "transfer_syntax",
        "values",
        "varying",
        "vrs",
    )

    def __init__(self, elements: dict[int, bytes], facts: tuple[Any, ...]) -> None:
        self.elements = elements
        self.facts = facts
        self.transfer_syntax: str
        self.pixel_tag: int | None
        self.is_little_endian: bool
        self.from_pydicom: bool
        self.vrs: Mapping[int, str]
        self.others: tuple[int, ...]
        self.creators: tuple[tuple[int, str], ...]
        (
            self.transfer_syntax,
            self.pixel_tag,
            self.is_little_endian,
            self.from_pydicom,
            self.vrs,
            self.others,
            self.creators,
        ) = facts
        self.values: dict[int, Value] = {}
        self.memory: dict[Any, Memory] = {}
        self.varying: set[int] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without what can be worked out again."""
        return _unpickled, (self.elements, self.facts, self.varying)

    def difference(self, elements: dict[int, bytes]) -> dict[int, bytes] | None:
        """Return the values that another file has otherwise; None if it has other elements."""
        mine = self.elements
        if len(mine) != len(elements):
            return None
        try:
            own = {tag: raw for tag, raw in elements.items() if mine[tag] != raw}
        except KeyError:
            return None
        return None if any(tag in own for tag in DECISIVE) else own


def _unpickled(elements: dict[int, bytes], facts: tuple[Any, ...], varying: set[int]) -> Shared:
    shared = Shared(elements, facts)
    shared.varying = varying
    return shared


class Memory:
    """
    Results of one function of headers, by the values that it looked at.

    A function of nothing but a header's values takes the same way, to the same result, where all
    values that it looked at are the same. Only those have to be compared that vary at all.

    Attributes
    ----------
    asked : set of int or None
        Tags that the function looked at; None if it looked at more than values.
    tags : tuple of int
        Those of them that vary.
    results : dict
        By the values under `tags`.
    settled : bool
        Whether all headers have one result, as far as is known: the function looks at nothing that
        varies.
    result : object
        This result.
    size : int
        How many values varied when this was found.
    hits : int
        How often a result was asked for again.
    """

    __slots__ = ("asked", "hits", "result", "results", "settled", "size", "tags")

    def __init__(self) -> None:
        self.asked: set[int] | None = set()
        self.tags: tuple[int, ...] = ()
        self.results: dict[Any, Any] = {}
        self.settled = False
        self.result: Any = None
        self.size = 0
        self.hits = 0

    def key(self, own: Mapping[int, Any]) -> Any:
        """Return what distinguishes a header, by its own values, for this function."""
        tags = self.tags
        return own.get(tags[0]) if len(tags) == 1 else tuple(map(own.get, tags))

    def settle(self, varying: set[int]) -> bool:
        """Take note of what varies, which only grows, and tell whether there is one result."""
        if self.size != len(varying):
            self.size = len(varying)
            self._compare(varying)
        return self.settled

    def _compare(self, varying: set[int]) -> None:
        """Tell results apart by what varies of what was asked for."""
        tags = tuple(sorted(varying.intersection(self.asked or ())))
        if tags != self.tags:
            self.tags = tags
            self.results.clear()
        self.settled = not tags and bool(self.results)

    @property
    def is_full(self) -> bool:
        """Whether nothing more is remembered for now."""
        count = len(self.results)
        return count >= _FEW and (count >= _MOST or self.hits < count)

    def add(
        self, own: Mapping[int, Any], varying: set[int], seen: set[int] | None, result: Any
    ) -> None:
        """
        Remember a result.

        Parameters
        ----------
        own : dict of int to bytes
            The header's own values.
        varying : set of int
            Tags that vary.
        seen : set of int or None
            Tags that the function looked at; None if it looked at more than values.
        result : object
        """
        if seen is None:
            self.asked, self.settled = None, False
            self.results.clear()
        elif self.asked is not None:
            if not seen.issubset(self.asked):
                self.asked |= seen
                self._compare(varying)
            self.results[self.key(own)] = result
            if not self.tags:
                self.settled, self.result = True, result

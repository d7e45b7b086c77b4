"""What became of each instance: manifests of what was fetched, receipts of what was stored."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from imagedata_xr.errors import PartialWriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Instance", "Manifest", "Outcome", "Receipt", "State"]

State = Literal["acknowledged", "warned", "failed", "unknown"]
_FEW = 5


@dataclass(frozen=True, slots=True)
class Instance:
    """
    A DICOM instance in a file.

    Attributes
    ----------
    uid : str
        SOP Instance UID.
    path : str
    size : int
        Bytes of the file.
    digest : str
        SHA-256 of the data set, without preamble and file meta information: that is what
        transfer must not change.
    syntax : str
        Transfer Syntax UID.
    sop_class : str
        SOP Class UID.
    study, series : str
        UIDs, where they are known.

    Examples
    --------
    >>> manifest = transports.fetch(url, "copies")
    >>> manifest.instances[0].sop_class
    '1.2.840.10008.5.1.4.1.1.4'
    """

    uid: str
    path: str
    size: int
    digest: str
    syntax: str
    sop_class: str = ""
    study: str = ""
    series: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """
    What was fetched.

    Attributes
    ----------
    instances : tuple of Instance

    Examples
    --------
    >>> manifest = transports.fetch(url, "copies")
    >>> len(manifest), manifest.paths[0].suffix
    (12, '.dcm')
    """

    instances: tuple[Instance, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [Path(one.path) for one in self.instances]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.instances)

    def __len__(self) -> int:
        return len(self.instances)

    def __iter__(self) -> Iterator[Instance]:
        return iter(self.instances)

    def __repr__(self) -> str:
        return f"<Manifest of {len(self)} instance(s), {self.size} bytes>"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of one instance that was to be stored.

    Attributes
    ----------
    uid : str
        SOP Instance UID; empty for a file that has none.
    state : {"acknowledged", "warned", "failed", "unknown"}
        ``warned`` is stored too, with a warning of the server. ``unknown`` means that no answer
        came: the server may have it or not, and storing again is safe.
    status : int or None
        DIMSE or HTTP status.
    reason : str
        In words, without patient data.
    attempts : int
        How often it was sent.
    verified : bool or None
        Whether the server, asked afterwards, has it; None where it was not asked.
    path : str
        The file.
    sop_class, study, series : str
        UIDs, for verifying.

    Examples
    --------
    >>> first = transports.store(url, folder).outcomes[0]
    >>> first.state, first.stored
    ('acknowledged', True)
    """

    uid: str
    state: State
    status: int | None = None
    reason: str = ""
    attempts: int = 1
    verified: bool | None = None
    path: str = field(default="", repr=False)
    sop_class: str = ""
    study: str = ""
    series: str = ""

    @property
    def stored(self) -> bool:
        """Whether the server says that it has it."""
        return self.state in ("acknowledged", "warned")


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    What became of each instance that was to be stored.

    Attributes
    ----------
    outcomes : tuple of Outcome

    Examples
    --------
    >>> receipt = transports.store(url, folder, verify=True)
    >>> receipt
    <Receipt: 12 acknowledged, 12 verified>
    >>> receipt.complete
    True
    """

    outcomes: tuple[Outcome, ...] = ()

    def __len__(self) -> int:
        return len(self.outcomes)

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def _in(self, state: State) -> tuple[Outcome, ...]:
        return tuple(one for one in self.outcomes if one.state == state)

    @property
    def acknowledged(self) -> tuple[Outcome, ...]:
        """Instances that the server has taken."""
        return self._in("acknowledged")

    @property
    def warned(self) -> tuple[Outcome, ...]:
        """Instances that the server has taken with a warning, such as changed elements."""
        return self._in("warned")

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Instances that the server refused, or that could not be sent."""
        return self._in("failed")

    @property
    def unknown(self) -> tuple[Outcome, ...]:
        """Instances without an answer."""
        return self._in("unknown")

    @property
    def verified(self) -> tuple[Outcome, ...]:
        """Instances that the server, asked afterwards, has."""
        return tuple(one for one in self.outcomes if one.verified)

    @property
    def complete(self) -> bool:
        """Whether every instance is stored, and none was looked for in vain."""
        return all(one.stored and one.verified is not False for one in self.outcomes)

    def checked(self, present: Callable[[Outcome], bool | None]) -> Receipt:
        """Return the receipt with `verified` as a function of each outcome says."""
        return Receipt(tuple(replace(one, verified=present(one)) for one in self.outcomes))

    def raise_unless_complete(self, target: object) -> None:
        """
        Raise where an instance is not stored.

        Parameters
        ----------
        target : Locator
            Shown in the message.

        Raises
        ------
        PartialWriteError
            With this receipt.
        """
        if self.complete:
            return
        bad = [one for one in self.outcomes if not one.stored or one.verified is False]
        reasons = Counter(_reason(one) for one in bad)
        listed = "\n".join(f"  {count} x {text}" for text, count in reasons.most_common(_FEW))
        raise PartialWriteError(
            f"{target}: {len(bad)} of {len(self)} instance(s) are not stored:\n{listed}\n"
            "(error.receipt has each of them; storing again is safe: the UIDs stay the same)",
            receipt=self,
        )

    def __repr__(self) -> str:
        counts = Counter(one.state for one in self.outcomes)
        listed = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        return f"<Receipt: {listed or 'nothing to store'}, {len(self.verified)} verified>"


def _reason(one: Outcome) -> str:
    if one.stored:
        return "acknowledged, but not there when asked afterwards"
    return f"{one.state}: {one.reason or 'no reason given'}"

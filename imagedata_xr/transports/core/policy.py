"""How long to wait, how often to try again, how much to take: nothing is without a bound."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Limits", "Retry", "Timeouts"]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """
    Seconds to wait.

    Attributes
    ----------
    connect : float
        For the connection, TLS included.
    handshake : float
        For the answer to a request for an association, or to a login.
    response : float
        For the answer to a request.
    idle : float
        For the next bytes of an answer that has begun.

    Examples
    --------
    >>> transports.Timeouts(response=120).response
    120
    """

    connect: float = 10.0
    handshake: float = 15.0
    response: float = 60.0
    idle: float = 30.0


@dataclass(frozen=True, slots=True)
class Retry:
    """
    When to try again: after what may pass (no answer, a lost connection, a full server).

    Attributes
    ----------
    attempts : int
        Failures in a row after which it is given up; progress begins a new row.
    first, factor, longest : float
        Seconds before the second attempt, the growth from one to the next, and the most.
    jitter : float
        Part of each pause that is left to chance, so that many clients do not return at once.

    Examples
    --------
    >>> list(transports.Retry(attempts=3, first=1, jitter=0).delays())
    [1.0, 2.0]
    """

    attempts: int = 5
    first: float = 0.5
    factor: float = 2.0
    longest: float = 15.0
    jitter: float = 0.2

    def delays(self) -> Iterator[float]:
        """Yield the pause before each further attempt."""
        delay = self.first
        for _ in range(self.attempts - 1):
            yield min(delay, self.longest) * (1 - self.jitter * random.random())  # noqa: S311
            delay *= self.factor


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The most that is taken from a server, which may be hostile.

    Attributes
    ----------
    instance : int
        Bytes of one instance.
    total : int
        Bytes of all instances of one request.
    count : int
        Instances of one request.
    records : int
        Answers to one query.

    Examples
    --------
    >>> transports.Limits(total=10 << 30).total
    10737418240
    """

    instance: int = 16 << 30
    total: int = 1 << 40
    count: int = 1_000_000
    records: int = 1_000_000

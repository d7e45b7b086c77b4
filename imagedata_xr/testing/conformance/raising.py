"""Expecting an error without a test framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["raises"]

E = TypeVar("E", bound=Exception)


def raises(kind: type[E], action: Callable[[], Any]) -> E:
    """
    Return the error of this kind that the action raises.

    Raises
    ------
    AssertionError
        It raises none.
    """
    try:
        action()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")

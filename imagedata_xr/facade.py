"""Methods that stand for a free function, and show its signature and help when they are asked."""

from __future__ import annotations

import inspect
from functools import update_wrapper
from importlib import import_module
from types import MethodType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Method = TypeVar("Method", bound=Callable[..., Any])

__all__ = ["stands_for"]


def stands_for(function: str) -> Callable[[Method], Method]:
    """
    Let a method of one line show the help of the function that it calls.

    Parameters
    ----------
    function : str
        Full name, ``package.module.function``. It is imported when the method of an object is
        first looked at, and not with the class: the module may be slow to import.

    Returns
    -------
    callable
        Decorator. ``help(obj.method)``, the hints of an editor and ``inspect.signature`` then
        have the parameters and the text of the function, without its first parameter.

    Examples
    --------
    >>> from imagedata_xr.facade import stands_for
    >>> class Number:
    ...     @stands_for("math.pow")
    ...     def power(self, *exponent):
    ...         return 2 ** exponent[0]
    >>> import inspect
    >>> inspect.signature(Number().power)
    <Signature (y, /)>
    >>> Number().power(3)
    8
    """

    def decorate(method: Method) -> Method:
        return cast("Method", _StandsFor(method, function))

    return decorate


class _StandsFor:
    """Descriptor: a plain function of the class; of an object, a method with the help of another."""

    def __init__(self, method: Callable[..., Any], function: str) -> None:
        self.__doc__ = method.__doc__
        self._method = method
        self._module, _, self._name = function.rpartition(".")

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        if obj is None:
            return self._method
        method = self._method

        def call(*args: Any, **options: Any) -> Any:
            return method(*args, **options)

        update_wrapper(call, method)
        try:
            other = getattr(import_module(self._module), self._name)
        except ImportError:  # an optional package; calling says which
            return MethodType(call, obj)
        call.__doc__ = inspect.getdoc(other)
        call.__dict__["__signature__"] = inspect.signature(other)
        del call.__dict__["__wrapped__"]
        return MethodType(call, obj)

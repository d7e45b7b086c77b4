"""
Expressions over images: arithmetic, comparisons and functions of NumPy, and nothing else.

The text is parsed by Python's own parser and its tree walked; what is not listed here is an error,
so that an expression can neither call, import nor look up anything.
"""

from __future__ import annotations

import ast
import operator
import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FUNCTIONS", "evaluate"]

_LONGEST: Final = 4096
_DEEPEST: Final = 64
_OPERATORS: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_OF_MASKS: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    ast.BitAnd: np.logical_and,
    ast.BitOr: np.logical_or,
    ast.BitXor: np.logical_xor,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
}
_ELEMENTWISE: Final = (
    *("abs", "sqrt", "cbrt", "square", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p"),
    *("sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "hypot", "sinh", "cosh"),
    *("tanh", "degrees", "radians", "floor", "ceil", "rint", "trunc", "sign", "minimum"),
    *("maximum", "fmin", "fmax", "isnan", "isfinite", "isinf", "real", "imag", "angle", "conj"),
)
_REDUCTIONS: Final = ("mean", "std", "var", "min", "max", "median", "sum", "prod", "any", "all")
_CONSTANTS: Final = {"pi": np.pi, "e": np.e, "nan": np.nan, "inf": np.inf}


def _where(condition: Any, yes: Any, no: Any) -> Any:
    return _chosen(_mask(condition), yes, no)


def _clip(image: Any, low: Any, high: Any) -> Any:
    return np.minimum(np.maximum(image, low), high)


def _nan_to_num(image: Any, value: Any = 0.0) -> Any:
    return _chosen(np.isfinite(image), image, value)


def _chosen(condition: Any, yes: Any, no: Any) -> Any:
    # xarray.where keeps the attributes of `yes`, and with a number there, loses the geometry.
    return xr.apply_ufunc(np.where, condition, yes, no, dask="allowed", keep_attrs="override")


def _shaped(function: str, image: Any, *dims: str) -> Any:
    if not isinstance(image, xr.DataArray):
        raise OptionError(f"{function}: takes an image and names of its dimensions")
    unknown = [dim for dim in dims if dim not in image.dims]
    if unknown:
        raise OptionError(f"{function}: there is no dimension {unknown[0]!r} in {image.dims}")
    return getattr(image, function)(list(dims) or None, keep_attrs=True)


FUNCTIONS: Final = tuple(sorted([*_ELEMENTWISE, *_REDUCTIONS, "clip", "nan_to_num", "where"]))
_OWN: Final[Mapping[str, Callable[..., Any]]] = {
    "where": _where,
    "angle": lambda image: xr.apply_ufunc(np.angle, image, dask="allowed", keep_attrs=True),
    "clip": _clip,
    "nan_to_num": _nan_to_num,
}


def evaluate(text: str, images: Mapping[str, xr.DataArray]) -> Any:
    """
    Compute an expression.

    Parameters
    ----------
    text : str
        Python's notation: numbers, the names of the images, ``+ - * / // % **``, comparisons,
        ``& | ~`` or ``and or not`` of masks, ``pi``, ``e``, ``nan``, ``inf`` and the functions
        in `FUNCTIONS`. ``mean(a, "time")`` and its like reduce along dimensions.
    images : mapping of str to DataArray
        Whole numbers are computed as float64, so that nothing wraps.

    Returns
    -------
    DataArray or float

    Raises
    ------
    OptionError
        The expression is none, or names something else.
    GridMismatchError
        The images lie on different grids.
    """
    if len(text) > _LONGEST:
        raise OptionError(f"the expression has {len(text)} characters; {_LONGEST} at most")
    try:
        # Python warns about odd but valid notation, such as a number before a keyword.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "too deeply nested"
        raise OptionError(f"the expression {text!r} cannot be read: {reason}") from error
    known = {name: _as_float(image) for name, image in images.items()}
    with np.errstate(all="ignore"):
        return _Walk(known).value(tree.body, 0)


def _as_float(image: xr.DataArray) -> xr.DataArray:
    return image.astype(np.float64) if image.dtype.kind in "iu" else image


def _is_mask(value: Any) -> bool:
    return np.dtype(getattr(value, "dtype", type(value))).kind == "b"


def _mask(value: Any) -> Any:
    return value if _is_mask(value) else value != 0


def _number(value: Any) -> Any:
    """Return a mask as zeros and ones: NumPy has no difference of masks, and sums them as "or"."""
    return value * np.float64(1) if _is_mask(value) else value


class _Walk:
    """One evaluation."""

    def __init__(self, images: Mapping[str, xr.DataArray]) -> None:
        self.images = images

    def value(self, node: ast.expr, depth: int) -> Any:
        """Return the value of a node of the tree."""
        if depth > _DEEPEST:
            raise OptionError(f"the expression is nested more than {_DEEPEST} deep")
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise OptionError(f"{ast.unparse(node)!r} is nothing that an expression may hold")
        return method(node, depth + 1)

    def _constant(self, node: ast.Constant, _: int) -> Any:
        if isinstance(node.value, bool):
            return node.value
        if isinstance(node.value, int | float):
            try:
                return np.float64(node.value)
            except OverflowError as error:
                raise OptionError("the expression holds a number that is too large") from error
        raise OptionError(f"{node.value!r} is no number")

    def _name(self, node: ast.Name, _: int) -> Any:
        if node.id in self.images:
            return self.images[node.id]
        if node.id in _CONSTANTS:
            return np.float64(_CONSTANTS[node.id])
        names = ", ".join(self.images) or "none: there is no IN"
        raise OptionError(f"{node.id}: there is no such image ({names}), and no such constant")

    def _unaryop(self, node: ast.UnaryOp, depth: int) -> Any:
        value = self.value(node.operand, depth)
        if isinstance(node.op, ast.Not | ast.Invert):
            return np.logical_not(_mask(value))
        return -_number(value) if isinstance(node.op, ast.USub) else _number(value)

    def _binop(self, node: ast.BinOp, depth: int) -> Any:
        return self._apply(node.op, self.value(node.left, depth), self.value(node.right, depth))

    def _boolop(self, node: ast.BoolOp, depth: int) -> Any:
        first, *rest = (self.value(part, depth) for part in node.values)
        for value in rest:
            first = self._apply(node.op, first, value)
        return first

    def _compare(self, node: ast.Compare, depth: int) -> Any:
        values = [self.value(part, depth) for part in (node.left, *node.comparators)]
        found: Any = None
        for kind, left, right in zip(node.ops, values[:-1], values[1:], strict=True):
            part = self._apply(kind, left, right)
            found = part if found is None else np.logical_and(found, part)
        return found

    def _call(self, node: ast.Call, depth: int) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        if name not in FUNCTIONS or node.keywords:
            raise OptionError(
                f"{name}: there is no such function; there are {', '.join(FUNCTIONS)}"
            )
        reduces = name in _REDUCTIONS
        values = [
            self._dim(part) if reduces and place else self.value(part, depth)
            for place, part in enumerate(node.args)
        ]
        try:
            if reduces:
                return _shaped(name, *values)
            function = _OWN.get(name) or getattr(np, name)
            wanted = getattr(function, "nin", len(values))
            if len(values) != wanted:
                raise OptionError(f"{ast.unparse(node)}: {name} takes {wanted} arguments")
            return function(*values)
        except (TypeError, ValueError) as error:
            if isinstance(error, OptionError):
                raise
            raise OptionError(f"{ast.unparse(node)}: {error}") from error

    @staticmethod
    def _dim(node: ast.expr) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Name):
            return node.id
        raise OptionError(f"{ast.unparse(node)} is no name of a dimension")

    @staticmethod
    def _apply(kind: ast.AST, left: Any, right: Any) -> Any:
        if type(kind) in _OF_MASKS:
            return _OF_MASKS[type(kind)](_mask(left), _mask(right))
        function = _OPERATORS.get(type(kind))
        if function is None:
            raise OptionError(f"{type(kind).__name__} is no operator of expressions")
        return function(_number(left), _number(right))

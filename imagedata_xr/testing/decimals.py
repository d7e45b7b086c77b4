"""Numbers as DICOM writes them."""

from __future__ import annotations

__all__ = ["decimal"]


def decimal(number: float, digits: int | None = None) -> str:
    """
    Return a number as a Decimal String of at most 16 characters.

    Parameters
    ----------
    number : float
        The number.
    digits : int, optional
        Digits after the point; as many as fit by default.

    Examples
    --------
    >>> decimal(1 / 3), decimal(2.0), decimal(1 / 3, digits=4)
    ('0.33333333333333', '2', '0.3333')
    """
    number = float(number) + 0.0
    if digits is not None:
        return f"{number:.{digits}f}"
    if number.is_integer() and abs(number) < 1e15:
        return str(int(number))
    text = repr(number)
    precision = 16
    while len(text) > 16:
        text = f"{number:.{precision}g}"
        precision -= 1
    return text

"""Which identity goes, which stays, and what stands in its place: the same every time."""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from imagedata_xr.errors import OptionError
from imagedata_xr.formats.dicom.deidentify.table import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Dates", "Profile", "profile_of"]

Dates: TypeAlias = Literal["shifted", "keep", "remove"]

_DATES: Final = ("shifted", "keep", "remove")
_RETAINED: Final = (*OPTIONS, "uids", "safe_private")
# Roots of UIDs that mean the same everywhere: classes, syntaxes, coding schemes (PS3.6 A).
_STANDARD: Final = "1.2.840.10008."
_SECRET_LENGTH: Final = 16
# Between one and eleven years, so that nobody takes the date for the real one.
_LEAST_DAYS, _MORE_DAYS = 366, 3652
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Profile:
    """
    The Basic Application Level Confidentiality Profile with options (PS3.15 annex E).

    With the same `secret`, the same patient, study and instance get the same new identity, in
    every call and process; without it, nobody finds the way back, and the next call has another.

    Attributes
    ----------
    secret : bytes or str
        At least 16 bytes or characters; random by default. Whoever has it can recompute new UIDs from old ones.
    dates : {"shifted", "keep", "remove"}
        ``shifted``: all dates and times of a patient by the same amount, so that intervals stay
        (option 113107). ``keep``: as they are (113106). ``remove``: emptied or removed, so that
        dynamic series lose their times.
    retain : frozenset of str
        Options: ``device`` (113109), ``institution`` (113112), ``patient_characteristics``
        (113108), ``safe_private`` (113111: private elements known to hold numbers of the
        acquisition only), ``uids`` (113110).
    keep : frozenset of str
        Keywords of further attributes to keep as they are, such as ``SeriesDescription``. Free
        text may name people: it is the caller who has looked.

    Examples
    --------
    >>> profile = imagedata_xr.Profile(secret="a sentence that stays secret", retain={"device"})
    >>> profile.patient("ID-1") == profile.patient("ID-1")
    True
    """

    secret: bytes | str = field(default_factory=lambda: os.urandom(32))
    dates: Dates = "shifted"
    retain: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if len(self.secret) < _SECRET_LENGTH:
            raise OptionError(
                f"secret: give at least {_SECRET_LENGTH} bytes or characters, or none"
            )
        if self.dates not in _DATES:
            raise OptionError(f"dates={self.dates!r}: give one of {', '.join(_DATES)}")
        unknown = sorted(set(self.retain) - set(_RETAINED))
        if unknown:
            raise OptionError(f"retain={unknown[0]!r}: give some of {', '.join(_RETAINED)}")

    def __repr__(self) -> str:
        return (
            f"<Profile dates={self.dates!r} retain={sorted(self.retain)} keep={sorted(self.keep)}>"
        )

    def _digest(self, kind: str, text: str) -> bytes:
        secret = self.secret.encode() if isinstance(self.secret, str) else self.secret
        return hmac.new(secret, f"{kind}\0{text}".encode(), hashlib.sha256).digest()

    def uid(self, uid: str) -> str:
        """Return what stands in place of a UID; those of the standard stay."""
        plain = uid.strip("\0 ")
        if not plain or plain.startswith(_STANDARD) or "uids" in self.retain:
            return plain
        return f"2.25.{int.from_bytes(self._digest('uid', plain)[:16], 'big') >> 2}"

    def patient(self, patient_id: str) -> str:
        """Return what stands in place of a patient's ID and name."""
        return "ANON-" + self._digest("patient", patient_id.strip()).hex()[:10].upper()

    def shift(self, patient_id: str) -> timedelta:
        """Return by how much dates and times of a patient are moved."""
        number = int.from_bytes(self._digest("shift", patient_id.strip())[:8], "big")
        return timedelta(days=-(_LEAST_DAYS + number % _MORE_DAYS), seconds=-(number % _DAY))


def profile_of(
    profile: Profile | str,
    *,
    secret: bytes | str | None,
    dates: str | None,
    retain: Iterable[str],
    keep: Iterable[str],
) -> Profile:
    """
    Return the profile that the caller means.

    Raises
    ------
    OptionError
        There is no such profile, or an option means nothing.
    """
    given: dict[str, Any] = {
        "secret": secret,
        "dates": dates,
        "retain": frozenset([retain] if isinstance(retain, str) else retain),
        "keep": frozenset([keep] if isinstance(keep, str) else keep),
    }
    options = {name: value for name, value in given.items() if value}
    if isinstance(profile, Profile):
        if options:
            raise OptionError(f"{', '.join(options)}: the profile that is given says it already")
        return profile
    if profile != "basic":
        raise OptionError(f"profile={profile!r}: give 'basic' or a Profile")
    return Profile(**options)

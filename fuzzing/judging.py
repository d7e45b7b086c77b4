"""What is a bug: an exception outside the package's tree, a hang, memory beyond a bound."""

from __future__ import annotations

import contextlib
import resource
import signal
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from imagedata_xr.errors import ImagedataError

SECONDS = 5.0
MEMORY = 2 << 30
ROOT = Path(__file__).resolve().parents[1]


class HangError(BaseException):
    """One case took longer than `SECONDS`; no ``except Exception`` swallows it."""


@dataclass
class Tally:
    """
    What became of the cases.

    Attributes
    ----------
    cases, opened, refused : int
    bugs : dict of str to (bytes, str)
        Where it happened, to the first case that led there and the trace.
    """

    cases: int = 0
    opened: int = 0
    refused: int = 0
    bugs: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def judge(self, check, case):
        """Run one case; count it, and keep it where it shows a bug not seen before."""
        self.cases += 1
        try:
            with time_limit(SECONDS), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                opened = check(case)
        except ImagedataError:
            self.refused += 1
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            place = _place(error)
            if place not in self.bugs:
                self.bugs[place] = (case, "".join(traceback.format_exception(error)))
                return place
        else:
            self.opened += bool(opened)
        return None


def _place(error):
    """Return the kind of an error, and where it left the package or this one."""
    own = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(ROOT) and ".venv" not in frame.filename
    ]
    return f"{type(error).__name__} at {own[-1] if own else '?'}"


@contextlib.contextmanager
def time_limit(seconds):
    """Raise HangError where the block takes longer, in seconds of this process: others may run."""

    def ring(*_):
        raise HangError(f"longer than {seconds} s")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def bound_memory(more=MEMORY):
    """Let this process have so many bytes more than it has now: beyond, MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    now = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, resource.RLIM_INFINITY))

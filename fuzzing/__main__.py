"""
Run the fuzzers: ``python -m fuzzing [TARGET ...] [--seconds S] [--engine mutations|atheris]``.

Each target runs in a process of its own, whose memory is bounded. The exit status is 1 where a bug
was found; the cases that show one are kept in ``--found``.
"""

from __future__ import annotations

import argparse
import atexit
import faulthandler
import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

NAMES = (
    *("headers", "dicom", "multiframe", "csa", "nifti", "sidecar", "gradients", "itk", "mat"),
    *("archive", "expression", "url", "region"),
    *("sequences", "back", "tree", "structures", "segments", "anonymous"),
)
# A case that no signal can interrupt ends the process.
DEAD = 60


def main():
    """Read the command line; run each target in a process, or one in this one."""
    parser = argparse.ArgumentParser(prog="python -m fuzzing", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=float, default=20, help="for each target")
    parser.add_argument("--cases", type=int, help="instead of seconds; more of what is fast")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--engine", choices=["mutations", "atheris"], default="mutations")
    parser.add_argument("--found", type=Path, default=Path("fuzzing-found"))
    parser.add_argument("--here", action="store_true", help="all in this process: quicker to start")
    asked = parser.parse_args()
    asked.found = asked.found.absolute()
    names = asked.targets or list(NAMES)
    if not set(names) <= set(NAMES):
        parser.error(f"there are the targets {', '.join(NAMES)}")
    if asked.here:
        return max(run(name, asked) for name in names)
    return max([supervised(name, asked) for name in names], default=0)


def supervised(name, asked):
    """Run one target in a process; where that dies, note the case and go on behind it."""
    end, seed, status = time.monotonic() + asked.seconds, asked.seed, 0
    while True:
        left = max(end - time.monotonic(), 1.0)
        command = [sys.executable, "-m", "fuzzing", name, "--here", "--seed", str(seed)]
        command += ["--seconds", str(left), "--engine", asked.engine, "--found", str(asked.found)]
        command += ["--cases", str(asked.cases)] if asked.cases else []
        code = subprocess.run(command, check=False).returncode
        if code in (0, 1):
            return max(status, code)
        status, seed = 1, seed + 1
        last = asked.found / f"{name}-last"
        kept = asked.found / f"{name}-died-{seed}"
        if last.exists():
            last.rename(kept)
        print(f"{name}: the process died with status {code} on {kept}", flush=True)
        if asked.cases or time.monotonic() > end:
            return 1


def run(name, asked):
    """Run one target in this process."""
    if asked.engine == "atheris":
        import atheris

        # For good: modules are imported where they are needed.
        atheris.instrument_imports(include=["imagedata_xr"]).__enter__()
    from fuzzing.judging import Tally, bound_memory
    from fuzzing.targets import TARGETS

    target, tally = TARGETS[name], Tally()
    asked.found.mkdir(parents=True, exist_ok=True)
    last = asked.found / f"{name}-last"
    seeds = target.seeds()
    descriptor = os.open(last, os.O_CREAT | os.O_RDWR | os.O_TRUNC)

    def judged(case):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, case, 0)
        faulthandler.dump_traceback_later(DEAD, exit=True)
        place = tally.judge(target.check, case)
        if place is not None:
            kept = asked.found / f"{name}-{hashlib.sha256(case).hexdigest()[:12]}"
            kept.write_bytes(case)
            print(f"{name}: {place}, by {kept}\n{tally.bugs[place][1]}", flush=True)

    for case in seeds:
        judged(case)
    cases = asked.cases and asked.cases * target.share
    bound_memory()
    if asked.engine == "atheris":
        guided(name, seeds, judged, tally, asked)
    else:
        mutations(seeds, judged, asked, cases)
    faulthandler.cancel_dump_traceback_later()
    last.unlink()
    report(name, tally)
    return int(bool(tally.bugs))


def mutations(seeds, judged, asked, cases):
    """Damage the seeds at random, by a seed that is repeatable."""
    from fuzzing.mutation import mutated

    rng = random.Random(asked.seed)
    end = time.monotonic() + asked.seconds
    done = 0
    while done < cases if cases else time.monotonic() < end:
        judged(mutated(rng, rng.choice(seeds), seeds))
        done += 1


def guided(name, seeds, judged, tally, asked):
    """Let libFuzzer choose mutations that reach new code."""
    import atheris

    corpus = asked.found / f"{name}-corpus"
    corpus.mkdir(exist_ok=True)
    for case in seeds:
        (corpus / hashlib.sha256(case).hexdigest()[:16]).write_bytes(case)
    arguments = [sys.argv[0], str(corpus), f"-max_total_time={int(asked.seconds)}"]
    arguments += [f"-seed={asked.seed % 2**31}", "-max_len=65536", "-timeout=60", "-rss_limit_mb=0"]
    # libFuzzer ends the process itself.
    atexit.register(report, name, tally)
    atheris.Setup(arguments, judged)
    atheris.Fuzz()


def report(name, tally):
    """Say what came of it."""
    print(
        f"{name}: {tally.cases} cases, {tally.opened} opened, {tally.refused} refused, "
        f"{len(tally.bugs)} bugs",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())

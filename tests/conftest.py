"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no fault of the code: speed belongs in the benchmarks.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

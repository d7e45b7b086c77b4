"""
What every source, engine and writer must do, as tests to inherit.

A test module makes a subclass of a suite, whose name starts with ``Test``, and says how to make
one of its own; pytest then runs the suite. pytest is not imported here: ``tmp_path`` is its
temporary folder. Call ``pytest.register_assert_rewrite("imagedata_xr.testing.conformance")``
before the import to see the values in failed asserts.

>>> class TestMyFormat(EngineConformance):
...     ENGINE = "my_format"
...     PHANTOM = Phantom(axes={"time": [0, 2.5]}, orientation="oblique")
...
...     def make(self, folder):
...         return write_my_format(self.PHANTOM, folder / "image.my")
"""

from __future__ import annotations

from imagedata_xr.testing.conformance.engine import EngineConformance
from imagedata_xr.testing.conformance.source import SourceConformance
from imagedata_xr.testing.conformance.writer import WriterConformance

__all__ = ["EngineConformance", "SourceConformance", "WriterConformance"]

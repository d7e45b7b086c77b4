"""The browser's part as one ES module: no build step, no node, nothing from a network."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final

__all__ = ["MODULES", "module"]

# Each imports only from those before it.
MODULES: Final = (
    "bokeh_names",
    "places",
    "store",
    "report",
    "state",
    "shapes",
    "regions",
    "style",
    "layer",
    "framing",
    "pane",
    "tools",
    "keys",
    "bar",
    "side",
    "viewer",
)
IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js"\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(async )?(function|class|const|let) )", re.MULTILINE)


@cache
def module() -> str:
    """
    Return the modules of the folder ``esm`` joined into one, which exports ``render``.

    Panel loads a component from one text; as separate modules they would need a server, and a
    saved page has none.
    """
    folder = files("imagedata_xr.viewer") / "esm"
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in MODULES]
    joined = "\n".join(EXPORT.sub("", IMPORT.sub("", part)) for part in parts)
    return joined.replace("\nfunction render(", "\nexport function render(")

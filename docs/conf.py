"""Configuration of Sphinx: ``python -m sphinx -W docs docs/_build``."""

from __future__ import annotations

import shutil
from importlib.metadata import version as version_of
from pathlib import Path

project = "imagedata_xr"
copyright = "the imagedata_xr developers"  # noqa: A001 - Sphinx's own name
version = release = version_of("imagedata_xr")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
root_doc = "index"
default_role = "py:obj"
templates_path = ["_templates"]

# Nothing is looked up in the network: the pages are the same with and without.
intersphinx_mapping: dict[str, tuple[str, None]] = {}

autosummary_generate = True
autosummary_imported_members = False
autodoc_typehints = "none"
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Notebooks are shown with the output that they were stored with; the tests run them.
nb_execution_mode = "off"
_HERE = Path(__file__).parent
shutil.copytree(
    _HERE.parent / "examples",
    _HERE / "examples",
    dirs_exist_ok=True,
    ignore=lambda _, names: [name for name in names if not name.endswith(".ipynb")],
)

html_theme = "pydata_sphinx_theme"
html_title = "imagedata_xr"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

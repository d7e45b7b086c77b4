"""Which module may import which: read from the source, function bodies included."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import imagedata_xr

PACKAGE = "imagedata_xr"
ROOT = Path(imagedata_xr.__file__).parent

# From the bottom to the top. A module imports what stands below its own line; folders also
# import their own modules. The package itself stands on top.
LEVELS = (
    ("errors", "schema", "progress"),
    ("geometry", "naming", "facade"),
    ("options",),
    ("index",),
    ("frames",),
    ("sources", "sortkeys"),
    ("transports", "loading"),
    ("sorting", "lazy", "targets", "copies"),
    ("dataset", "provenance", "stored"),
    ("construct",),
    ("formats",),
    ("writing", "roi", "suv", "resampling", "cohorts"),
    ("display",),
    ("viewer",),
    ("pictures",),
    ("accessor", "tree_accessor", "testing", "inventory", "listing"),
    ("cli", "__main__"),
)
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}
TOP = len(LEVELS)

# Folders whose parts do not know each other.
DRAWERS = ("formats", "transports")

# The part of a drawer that all its other parts may know.
SHARED = {"transports": ("core",)}

# Library: the only modules that may import it.
ONLY_IN = {
    "xarray.core": ("lazy",),
    "holoviews": ("viewer",),
    "panel": ("viewer",),
    "bokeh": ("viewer",),
    # Only the package imagedata_xr_cli: help is shown without importing this one.
    "typer": (),
}
# Module: the libraries that it may not import.
PURE = dict.fromkeys(
    ("schema", "geometry", "frames", "sortkeys", "sorting"), ("pydicom", "fsspec", "xarray")
)


@dataclass(frozen=True)
class Import:
    """One imported module, and where."""

    importer: str
    target: str
    line: int
    at_start: bool

    def __str__(self):
        return f"{self.importer}:{self.line} imports {self.target}"


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported(node):
    """Return the full names of what a statement or call imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        function = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
        name = function.id if isinstance(function, ast.Name) else function
        if name in {"import_module", "__import__"}:
            return [node.args[0].value]
    return []


def resolved(name):
    """Return the module of the package that a full name lies in, or the name as it is."""
    if name.split(".")[0] != PACKAGE:
        return name
    while name not in FILES:
        name = name.rpartition(".")[0]
    return name


def first_imports(tree):
    """Return the statements that run when the module is imported."""
    return {
        id(child)
        for node in tree.body
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        and not isinstance(node, ast.FunctionDef | ast.ClassDef)
        for child in ast.walk(node)
    }


def all_imports():
    for importer, path in FILES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        start = first_imports(tree)
        for node in ast.walk(tree):
            for name in imported(node):
                yield Import(importer, resolved(name), node.lineno, id(node) in start)


IMPORTS = tuple(all_imports())


def place(module):
    """Return the parts of a module's name after that of the package."""
    return tuple(module.split(".")[1:])


def level(module):
    parts = place(module)
    return LEVEL[parts[0]] if parts else TOP


def is_of(name, library):
    return name == library or name.startswith(f"{library}.")


def listed(violations):
    return "\n".join(str(one) for one in violations)


def test_imports_are_found():
    """The reader of imports sees module-level, type-checking and function-level imports."""
    seen = {(one.importer, one.target, one.at_start) for one in IMPORTS}
    assert ("imagedata_xr.index", "imagedata_xr.geometry", True) in seen
    assert ("imagedata_xr.lazy", "xarray.core.indexing", True) in seen
    assert ("imagedata_xr.loading", "imagedata_xr.frames", False) in seen
    assert ("imagedata_xr.progress", "tqdm.auto.tqdm", False) in seen


def test_every_module_has_a_level():
    """A new module is put into LEVELS by a person, not by chance."""
    tops = {place(name)[0] for name in FILES if place(name)}
    assert tops <= set(LEVEL)


def test_imports_go_down():
    """No module imports one of its own level or above, but for modules of its own folder."""
    wrong = []
    for one in IMPORTS:
        if not is_of(one.target, PACKAGE):
            continue
        same_folder = place(one.importer)[:1] == place(one.target)[:1]
        if level(one.target) >= level(one.importer) and not same_folder:
            wrong.append(one)
    assert not wrong, listed(wrong)


@pytest.mark.parametrize("drawer", DRAWERS)
def test_parts_of_a_drawer_do_not_know_each_other(drawer):
    """Formats meet in a DataArray, transports in files: adding one touches no other."""
    wrong = [
        one
        for one in IMPORTS
        if is_of(one.importer, f"{PACKAGE}.{drawer}")
        and is_of(one.target, f"{PACKAGE}.{drawer}")
        and place(one.importer)[1:2] != place(one.target)[1:2]
        and place(one.importer)[1:]
        and place(one.target)[1:2] != SHARED.get(drawer)
    ]
    assert not wrong, listed(wrong)


def test_no_cycles():
    """What runs when modules are imported has an order, within folders too."""
    graph = {name: set() for name in FILES}
    for one in IMPORTS:
        # a package imports its parts; a part that imports its package means another part
        own = is_of(one.importer, one.target)
        if one.at_start and is_of(one.target, PACKAGE) and not own:
            graph[one.importer].add(one.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", PURE)
def test_pure_modules(module):
    """Sorting and geometry work on plain values: they can be used and tested without files."""
    wrong = [
        one
        for one in IMPORTS
        if place(one.importer)[:1] == (module,)
        and any(is_of(one.target, library) for library in PURE[module])
    ]
    assert not wrong, listed(wrong)


@pytest.mark.parametrize("library", ONLY_IN)
def test_libraries_with_one_home(library):
    """A library that changes, or is heavy, is known in one place."""
    wrong = [
        one
        for one in IMPORTS
        if is_of(one.target, library)
        and place(one.importer)[:1] not in [(n,) for n in ONLY_IN[library]]
    ]
    assert not wrong, listed(wrong)


def test_commands_load_nothing_but_typer():
    """What commands accept is known without importing what they do: help answers at once."""
    front = ROOT.with_name("imagedata_xr_cli")
    allowed = {"typer", "imagedata_xr_cli", *sys.stdlib_module_names}
    wrong = [
        f"{path.name}:{node.lineno}: {name}"
        for path in sorted(front.glob("*.py"))
        for tree in [ast.parse(path.read_text(encoding="utf-8"))]
        for node in ast.walk(tree)
        if id(node) in first_imports(tree)
        for name in imported(node)
        if name.split(".")[0] not in allowed
    ]
    assert sorted(front.glob("*.py"))
    assert not wrong, wrong


def test_no_private_xarray_by_attribute():
    """Nobody reaches xarray.core through ``xr.core`` either."""
    wrong = [
        f"{name}:{node.lineno}"
        for name, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr == "core"
        and isinstance(node.value, ast.Name)
        and node.value.id in {"xr", "xarray"}
    ]
    assert not wrong, wrong

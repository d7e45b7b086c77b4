"""What the package offers is what it says it offers, and it is documented."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types

import pytest

import imagedata_xr
from imagedata_xr import errors

PUBLIC = [getattr(imagedata_xr, name) for name in imagedata_xr.__all__]
FUNCTIONS = [one for one in PUBLIC if inspect.isfunction(one)]
CLASSES = [one for one in PUBLIC if inspect.isclass(one)]
METHODS = [
    (cls, name)
    for cls in CLASSES
    for name, member in vars(cls).items()
    if not name.startswith("_") and isinstance(member, types.FunctionType | classmethod | property)
]


def section(text, title):
    """Return the lines of one section of a numpy docstring."""
    lines = inspect.cleandoc(text).splitlines()
    starts = [
        k
        for k, line in enumerate(lines[:-1])
        if line and set(lines[k + 1]) == {"-"} and len(lines[k + 1]) == len(line)
    ]
    for start in starts:
        if lines[start] == title:
            later = [k for k in starts if k > start]
            return lines[start + 2 : later[0] if later else None]
    return []


def documented(text):
    """Return the names in the section Parameters."""
    heads = [line for line in section(text, "Parameters") if line and not line.startswith(" ")]
    return {name.strip(" *") for head in heads for name in head.partition(" : ")[0].split(",")}


def parameters(function):
    return {
        name
        for name in inspect.signature(function).parameters
        if name not in {"self", "cls"} and not name.startswith("_")
    }


def test_all_is_sorted_and_complete():
    """Each name in ``__all__`` is there once, and ``dir`` shows just these and the version."""
    names = imagedata_xr.__all__
    assert names == sorted(set(names))
    assert set(dir(imagedata_xr)) == {*names, "__version__"}
    assert all(getattr(imagedata_xr, name) is not None for name in names)


def test_nothing_else_is_offered():
    """A class or function of ours in the namespace of the package is in ``__all__``."""
    found = {
        name
        for name, value in vars(imagedata_xr).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__.startswith("imagedata_xr")
    }
    assert found <= set(imagedata_xr.__all__)


def test_star_import():
    """``from imagedata_xr import *`` works in a fresh interpreter and brings what is promised."""
    code = (
        "from imagedata_xr import *; import imagedata_xr as i; print(set(i.__all__) <= set(dir()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"


def test_unknown_name():
    """A name that is not offered is an AttributeError that says so."""
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = imagedata_xr.no_such_name


def test_version():
    """The version is that of the installed package."""
    from importlib.metadata import version

    assert imagedata_xr.__version__ == version("imagedata_xr")


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda one: one.__name__)
def test_functions_have_numpy_docstrings(function):
    """Each parameter and the result of a public function is described."""
    text = function.__doc__
    assert text
    assert documented(text) == parameters(function)
    result = inspect.signature(function).return_annotation
    assert result in {None, "None"} or section(text, "Returns")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda one: one.__name__)
def test_classes_have_docstrings(cls):
    """A class says what it is itself, not by inheritance."""
    assert vars(cls).get("__doc__", "").strip()


@pytest.mark.parametrize(("cls", "name"), METHODS, ids=lambda one: getattr(one, "__name__", one))
def test_methods_have_docstrings(cls, name):
    """A public method says what it does, or the method that it overrides does."""
    text = inspect.getdoc(getattr(cls, name)) or inspect.getdoc(inspect.getattr_static(cls, name))
    assert text
    assert text.strip()


@pytest.mark.parametrize(
    "name", [n for cls, n in METHODS if cls.__name__ == "Med" and callable(getattr(cls, n))]
)
def test_accessor_describes_its_parameters(name):
    """A method of ``.med`` describes its parameters, or says which function does."""
    method = getattr(imagedata_xr.Med, name)
    if "see `imagedata_xr." not in method.__doc__:
        assert parameters(method) <= documented(method.__doc__)


def test_errors_are_one_tree():
    """Every error has one root, and every warning another."""
    classes = [getattr(errors, name) for name in errors.__all__]
    for cls in classes:
        assert issubclass(cls, errors.ImagedataError) != issubclass(cls, errors.ImagedataWarning)
        assert cls.__name__ in errors.__doc__

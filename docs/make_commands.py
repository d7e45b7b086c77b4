"""
Write reference/commands.md: every command with its arguments and options, from the code itself.

``python docs/make_commands.py``; a test tells when the page is not what this writes.
"""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer.main

from imagedata_xr_cli.family import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

OUT = Path(__file__).with_name("reference") / "commands.md"
HEAD = """\
# Commands

Every command is also one of `imagedata-xr`: `image_data` is `imagedata-xr data`, `dicom_sort` is
`imagedata-xr sort`, and so on; `imagedata-xr --install-completion` teaches them all to the shell.

The exit status is 0 when everything asked for was done, 1 after an error, 2 for wrong usage, 130 after
Ctrl-C and 141 where nobody reads the output any more. Errors and warnings are lines on standard error.
What could not be written whole does not exist. `--json` prints what a program would want to read.

This page is made by `python docs/make_commands.py`.
"""


def page() -> str:
    """Return the whole page."""
    names = {
        entry.value.partition(":")[0].rpartition(".")[2]
        + ":"
        + entry.value.partition(":")[2]: entry
        for entry in sorted(entry_points(group="console_scripts"), key=str, reverse=True)
        if entry.value.startswith("imagedata_xr_cli.")
    }
    parts = [HEAD]
    for family, (module, application) in sorted(COMMANDS.items()):
        app = getattr(import_module(f"imagedata_xr_cli.{module}"), application)
        function = "main" if application == "app" else application.removesuffix("_app")
        script = names.get(f"{module}:{function}")
        name = f"imagedata-xr {family}" if script is None else script.name
        parts.append("\n".join(_command(name, family, typer.main.get_command(app))))
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _command(name: str, family: str, command: Any) -> Iterator[str]:
    yield f"## {name}\n"
    usage = " ".join(f"{p.metavar}" for p in command.params if p.param_type_name == "argument")
    yield f"```text\n{name} [OPTIONS] {usage}".rstrip() + "\n```\n"
    if name != f"imagedata-xr {family}":
        yield f"The same as `imagedata-xr {family}`.\n"
    yield from _text(command.help)
    for kind, title in (("argument", "Argument"), ("option", "Option")):
        params = [p for p in command.params if p.param_type_name == kind and _is_own(p)]
        if params:
            yield f"\n| {title} | Meaning |\n|---|---|"
            yield from (f"| {_spelled(p)} | {_cell(p)} |" for p in params)


def _text(text: str) -> Iterator[str]:
    r"""Turn paragraphs of a help text into Markdown; those marked with \\b are examples."""
    for paragraph in text.strip().split("\n\n"):
        if paragraph.startswith("\b"):
            title, *lines = paragraph.strip("\b\n").split("\n")
            shown = "\n".join(line.strip() for line in lines)
            yield f"{title}\n\n```shell\n{shown}\n```\n"
        else:
            yield re.sub(r"([{}*<>_])", r"\\\1", " ".join(paragraph.split())) + "\n"


def _is_own(parameter: Any) -> bool:
    return parameter.name not in ("install_completion", "show_completion")


def _spelled(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar}`"
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    return ", ".join(f"`{name}{value}`" for name in parameter.opts).replace("|", "\\|")


def _cell(parameter: Any) -> str:
    default = parameter.default
    told = ""
    if (
        parameter.param_type_name == "option"
        and not parameter.is_flag
        and default not in (None, "")
    ):
        told = f" Default: `{default}`."
    return (" ".join((parameter.help or "").split()) + told).replace("|", "\\|")


if __name__ == "__main__":
    OUT.write_text(page(), encoding="utf-8")

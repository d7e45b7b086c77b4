"""Pages of the docs that are made from the code are up to date."""

from __future__ import annotations

import contextlib
import re
import runpy
import shlex
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from pages import SETTINGS

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not {"_build", "api"} & set(path.parts))
TOC = re.compile(r"^```\{toctree\}\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def test_reference_of_commands():
    """The page of commands is what `python docs/make_commands.py` writes now."""
    made = runpy.run_path(str(DOCS / "make_commands.py"))
    assert (DOCS / "reference" / "commands.md").read_text(encoding="utf-8") == made["page"]()


def test_every_page_is_found():
    """Each page stands in the table of contents of its folder, so that a reader comes to it."""
    listed = {DOCS / "index.md"}
    for path in PAGES:
        for block in TOC.findall(path.read_text(encoding="utf-8")):
            entries = [line.strip() for line in block.splitlines() if line[:1] not in (":", "")]
            for entry in entries:
                found = path.parent.glob("*.md") if entry == "*" else [path.parent / f"{entry}.md"]
                listed.update(found)
    assert set(PAGES) <= listed


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_links(path):
    """Links between pages, and to pictures, lead to files that exist."""
    text = re.sub(
        r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for target in LINK.findall(text):
        assert (path.parent / target).exists(), target


# Pages that a reader can follow from the first to the last line, as they are; and those for which
# `pages.SETTINGS` has what they take for granted.
FOLLOWED = (
    "start",
    "coming-from/imagedata",
    "coming-from/monai",
    "coming-from/nibabel",
    "coming-from/simpleitk",
    "explanation/why-mm",
    "howto/deidentify",
    "howto/extend",
    "howto/nifti-tools",
    "howto/regions",
    "howto/results",
    "howto/sources",
    "howto/zarr",
)
BLOCK = re.compile(r"^```(shell|bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SAID = re.compile(r"^print\((.*)\)  # (.*)$", re.MULTILINE)
# They wait for somebody to end them.
ENDLESS = {"dicom_receive", "image_show"}
COMMANDS = {
    entry.name: entry
    for entry in entry_points(group="console_scripts")
    if entry.value.startswith(
        "imagedata_xr_cli"
    )  # other packages may have commands of the same names
}


def follow(name, languages, names, replaced, capsys):
    """Run the blocks of a page one after the other; what it says that they print is printed."""
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    for this, by in replaced.items():
        text = text.replace(this, by)
    for language, block in BLOCK.findall(text):
        if language == "python":
            capsys.readouterr()
            exec(compile(block, name, "exec"), names)
            printed = capsys.readouterr().out.split("\n")
            promised = [
                said
                for _, said in SAID.findall(block)
                if said[0].isupper() or said[0] in "[0123456789"
            ]
            assert set(promised) <= set(printed)
        elif language in languages:
            for line in block.strip().splitlines():
                program, *arguments = shlex.split(line)
                if program not in ENDLESS:
                    assert COMMANDS[program].load()(arguments) == 0


@pytest.mark.parametrize("name", FOLLOWED)
@pytest.mark.filterwarnings("ignore::imagedata_xr.ImagedataWarning")
def test_pages_can_be_followed(name, tmp_path, capsys):
    """Commands and code of a page run one after the other as shown, and print what it says."""
    pytest.importorskip("nibabel")
    with contextlib.chdir(tmp_path):
        follow(name, {"shell"}, {}, {}, capsys)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.filterwarnings("ignore::imagedata_xr.ImagedataWarning")
def test_pages_with_a_setting_can_be_followed(name, tmp_path, capsys, monkeypatch):
    """Likewise with the images that a page speaks of, and with a server or browser behind it."""
    with contextlib.chdir(tmp_path), SETTINGS[name](tmp_path, monkeypatch) as (names, replaced):
        follow(name, {"shell", "bash"}, names, replaced, capsys)


def test_every_page_with_code_is_followed():
    """No page shows Python that nobody runs."""
    shown = {
        path.relative_to(DOCS).with_suffix("").as_posix()
        for path in PAGES
        if "```python" in path.read_text(encoding="utf-8")
    }
    assert shown - {"index"} <= {*FOLLOWED, *SETTINGS}

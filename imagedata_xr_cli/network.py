"""``dicom_echo``, ``dicom_fetch``, ``dicom_send`` and ``dicom_receive``: servers of images."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagedata_xr_cli.options import Json, Overwrite, Quiet, added, version_of
from imagedata_xr_cli.program import new_app, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagedata_xr.transports import Instance, Outcome

__all__ = [
    "connects",
    "echo",
    "echo_app",
    "fetch",
    "fetch_app",
    "receive",
    "receive_app",
    "send",
    "send_app",
]

_URL = "dicom://host:port/AETITLE, dicoms:// with TLS, xnat+https://... or dicomweb+https://..."


def _options(
    *,
    calling_aet: Annotated[
        str | None,
        typer.Option(
            "--calling_aet",
            "--calling-aet",
            metavar="AET",
            help="Own AE title; IMAGEDATA_XR_AET by default.",
        ),
    ] = None,
    ca: Annotated[
        str | None,
        typer.Option(metavar="PEM", help="Certificates that are trusted; IMAGEDATA_XR_TLS_CA."),
    ] = None,
    certificate: Annotated[
        str | None,
        typer.Option(metavar="PEM", help="Own certificate; IMAGEDATA_XR_TLS_CERTIFICATE."),
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="PEM", help="Its key; IMAGEDATA_XR_TLS_KEY.")
    ] = None,
) -> None:
    """Hold the options that `connects` gives to commands."""


def connects(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say how to connect, as its one parameter ``access``."""
    return added(command, "access", _options, _access)


def _access(_: dict[str, Any], **asked: Any) -> Any:
    from imagedata_xr.cli.network import Access

    return Access(calling=asked.pop("calling_aet"), **asked)


echo_app = new_app(add_completion=True)


@echo_app.command(
    help="Ask a DICOM server whether it is there and knows us (C-ECHO).\n\n\b\n"
    "Example:\n  dicom_echo dicom://server:104/PACS"
)
@connects
def _echo(
    url: Annotated[str, typer.Argument(metavar="URL", help="dicom://host:port/AETITLE")],
    *,
    access: Any,
    version: Annotated[bool, version_of("dicom_echo")] = False,
) -> int:
    del version
    from imagedata_xr.cli.network import echo as ask

    print(ask(url, access))
    return 0


fetch_app = new_app(add_completion=True)
_FETCH = """\
Copy what a server has into a folder: a file an instance, as it is stored there.

URL goes on with /patient/study/series/instance, each of which may be missing, empty or a pattern; a
study is its UID or accession number, a series its UID or number. What is interrupted goes on where it
stopped when it is run again.

\b
Examples:
  dicom_fetch dicom://server:104/PACS/ID-17 folder
  dicom_fetch dicom://server:104/PACS//1.2.840.1/3 folder
  dicom_fetch 'dicom://server:104/PACS//ACC123?method=move&port=11112' folder
"""


@fetch_app.command(help=_FETCH)
@connects
def _fetch(  # noqa: PLR0913 - each option is one thing a user may say
    url: Annotated[str, typer.Argument(metavar="URL", help=_URL)],
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Made where it is not there.")],
    *,
    access: Any,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
    version: Annotated[bool, version_of("dicom_fetch")] = False,
) -> int:
    del version
    from imagedata_xr.cli.network import fetch as copy

    manifest = copy(url, folder, access, overwrite=overwrite, quiet=quiet)
    if as_json:
        print(json.dumps([_instance(one) for one in manifest], indent=2))
    elif not quiet:
        print(f"{folder}: {len(manifest)} instances, {manifest.size} bytes")
    return 0


def _instance(one: Instance) -> dict[str, Any]:
    return {
        "uid": one.uid,
        "path": one.path,
        "size": one.size,
        "sha256": one.digest,
        "syntax": one.syntax,
    }


send_app = new_app(add_completion=True)
_SEND = """\
Send DICOM files to a server, as they are.

IN are files, and folders with all files below them. Exit status 1 where the server has not taken every
instance; sending again is safe, for the UIDs stay the same.

\b
Examples:
  dicom_send dicom://server:104/PACS folder
  dicom_send --verify --json dicom://server:104/PACS a.dcm b.dcm | jq '.[] | select(.state != "acknowledged")'
"""


@send_app.command(help=_SEND)
@connects
def _send(  # noqa: PLR0913 - each option is one thing a user may say
    url: Annotated[str, typer.Argument(metavar="URL", help=_URL)],
    sources: Annotated[list[str], typer.Argument(metavar="IN...", help="Files and folders.")],
    *,
    access: Any,
    verify: Annotated[
        bool, typer.Option("--verify", help="Ask afterwards whether it has each instance.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    version: Annotated[bool, version_of("dicom_send")] = False,
) -> int:
    del version
    from imagedata_xr.cli.network import problem_of
    from imagedata_xr.cli.network import send as give

    receipt = give(url, sources, access, verify=verify, quiet=quiet)
    if as_json:
        print(json.dumps([_outcome(one) for one in receipt], indent=2))
    elif not quiet:
        stored = sum(one.stored for one in receipt)
        checked = f", {len(receipt.verified)} found there afterwards" if verify else ""
        print(f"{stored} of {len(receipt)} instances are stored{checked}")
    problem = problem_of(url, receipt)
    if problem:
        print(f"dicom_send: error: {problem}", file=sys.stderr)
    return 1 if problem else 0


def _outcome(one: Outcome) -> dict[str, Any]:
    names = ("uid", "path", "state", "status", "reason", "attempts", "verified")
    return {name: getattr(one, name) for name in names}


receive_app = new_app(add_completion=True)
_RECEIVE = """\
Take what scanners and servers send (a C-STORE server), until it is ended with Ctrl-C.

Each instance is a file named by its UID, which appears complete and before the sender is told so. One
that is there with other contents is refused. --tls takes connections with TLS only, from senders that
show a certificate which --ca trusts.

\b
Examples:
  dicom_receive --calling_aet STORE 11112 folder
  dicom_receive --tls --ca ca.pem --certificate me.pem --key me.key --from SCANNER1 2762 folder
"""


@receive_app.command(help=_RECEIVE)
@connects
def _receive(  # noqa: PLR0913 - each option is one thing a user may say
    port: Annotated[int, typer.Argument(metavar="PORT", min=0, max=65535)],
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Made where it is not there.")],
    *,
    access: Any,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen on this address only; on all by default.")
    ] = "",
    allowed: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="AET", help="AE title that may send; all by default."),
    ] = None,
    secure: Annotated[bool, typer.Option("--tls", help="Take connections with TLS only.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    version: Annotated[bool, version_of("dicom_receive")] = False,
) -> int:
    del version
    from imagedata_xr.cli.network import receive as take

    def told(one: Instance) -> None:
        if not quiet:
            print(one.path, flush=True)

    manifest = take(
        port,
        folder,
        access,
        host=host,
        allowed=allowed or (),
        secure=secure,
        overwrite=overwrite,
        told=told,
    )
    if not quiet:
        print(f"{folder}: {len(manifest)} instances, {manifest.size} bytes")
    return 0


echo = partial(run, echo_app, "dicom_echo")
fetch = partial(run, fetch_app, "dicom_fetch")
send = partial(run, send_app, "dicom_send")
receive = partial(run, receive_app, "dicom_receive")

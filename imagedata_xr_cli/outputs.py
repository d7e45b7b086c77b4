"""Options that commands which write images share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagedata_xr_cli.options import Overwrite, Quiet, added

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["writes"]


def _options(  # noqa: PLR0913 - each option is one thing a user may say
    *,
    of: Annotated[
        list[str] | None,
        typer.Option(
            "--of",
            metavar="FORMAT",
            help="Output format: dicom, nifti, itk or mat; may be given several times. By default that "
            "of OUT's name, or the input's own.",
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="uint8, uint16, int16, float32, float64...; an error where a value would change.",
        ),
    ] = None,
    odir: Annotated[
        str,
        typer.Option(metavar="single|multi", help="One folder for all, or one for each volume."),
    ] = "single",
    sort: Annotated[
        str,
        typer.Option(
            metavar="slice|tag", help="What runs fastest from file to file of a DICOM series."
        ),
    ] = "slice",
    template: Annotated[
        str | None,
        typer.Option(
            metavar="DICOM", help="DICOM from which patient, study and equipment are taken."
        ),
    ] = None,
    geometry: Annotated[
        str | None,
        typer.Option(metavar="IN", help="DICOM from which the positions are taken; same shape."),
    ] = None,
    sernum: Annotated[
        int | None, typer.Option("--sernum", "--senum", metavar="N", help="Series Number.")
    ] = None,
    serdes: Annotated[str | None, typer.Option(metavar="TEXT", help="Series Description.")] = None,
    imagetype: Annotated[
        str | None,
        typer.Option(metavar="VALUES", help="Image Type, e.g. DERIVED,SECONDARY,ADC."),
    ] = None,
    frame: Annotated[
        str | None, typer.Option(metavar="UID", help="Frame of Reference UID.")
    ] = None,
    sop_class: Annotated[
        str | None,
        typer.Option(
            "--SOPClassUID", metavar="UID", help="SOP Class: its UID, or a name such as MR, CT, SC."
        ),
    ] = None,
    attributes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEYWORD=VALUE",
            help="Another DICOM attribute of the result; nothing after = leaves it out.",
        ),
    ] = None,
    keep_uid: Annotated[
        bool, typer.Option("--keep-uid", help="Write the same instances: only of unchanged images.")
    ] = False,
    anonymous: Annotated[
        bool,
        typer.Option("--deidentify", help="Take out the patient's identity (DICOM PS3.15)."),
    ] = False,
    multiframe: Annotated[
        bool, typer.Option("--multiframe", help="One DICOM file with all frames (MR, CT, PET).")
    ] = False,
    syntax: Annotated[
        str | None,
        typer.Option(
            metavar="SYNTAX",
            help="Of DICOM files: explicit, implicit, rle, jpegls, jpeg2000 or htj2k (no loss).",
        ),
    ] = None,
    bids: Annotated[
        bool,
        typer.Option("--bids", help="Name NIfTI files in OUT as BIDS has them (sub-, ses-, acq-)."),
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Hold the options that `writes` gives to commands."""


def writes(command: Callable[..., Any]) -> Callable[..., Any]:
    """
    Give a command the options that say how to write, as its one parameter ``output``.

    Parameters
    ----------
    command : callable
        Takes ``out``, ``output`` (`imagedata_xr.cli.formats.Output`), and options of its own.
    """
    return added(command, "output", _options, _output)


def _output(given: dict[str, Any], **asked: Any) -> Any:
    from imagedata_xr.cli.formats import Output
    from imagedata_xr.cli.wording import attributes_of

    attributes = attributes_of(
        sernum=asked["sernum"],
        serdes=asked["serdes"],
        imagetype=asked["imagetype"],
        frame=asked["frame"],
        sop_class=asked["sop_class"],
        others=asked["attributes"] or (),
    )
    return Output(
        out=given["out"],
        formats=tuple(asked["of"] or ()),
        dtype=asked["dtype"],
        odir=asked["odir"],
        sort=asked["sort"],
        overwrite=asked["overwrite"],
        template=asked["template"],
        geometry=asked["geometry"],
        attributes=attributes,
        dicom={name: asked[name] for name in ("keep_uid", "multiframe", "syntax") if asked[name]},
        is_anonymous=asked["anonymous"],
        is_quiet=asked["quiet"],
        is_bids=asked["bids"],
    )

"""
What the command line accepts: one module a command, with nothing but typer behind them.

The work is done in `imagedata_xr.cli`, which is imported when there is work: importing
`imagedata_xr` means importing xarray, and help, version, wrong usage and completion of names need
neither.
"""

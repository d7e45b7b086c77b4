"""What users call: view images, draw regions, serve a page from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagedata_xr.viewer.loading import panel

if TYPE_CHECKING:
    from imagedata_xr.viewer.viewer import Viewer

__all__ = ["get_roi", "show_image", "view"]


def view(images: Any, **options: Any) -> Viewer:
    """
    Show one image or several, and draw regions in them.

    Parameters
    ----------
    images : DataArray or sequence of DataArray
        Two to six dimensions, and colours.
    **options : Any
        Of `imagedata_xr.viewer.Viewer`, which explains them: ``overlay=mask``,
        ``planes="orthogonal"``, ``window="lung"`` or ``(center, width)``, ``cmap="inferno"``,
        ``overlay_cmap=``, ``rois=[...]``, ``orientation="radiological"``, ``linked=False``,
        ``phi=False``, ``height=640``, ``per_page=``, ``columns=``.

    Returns
    -------
    Viewer
        A notebook shows it; ``show()`` serves it on this machine, ``save()`` writes a page.
        What was drawn is in ``rois`` and ``mask``.

    Raises
    ------
    MissingDependencyError
        Without HoloViews and Panel.

    Examples
    --------
    >>> viewer = imagedata_xr.view(series)  # the last line of a cell displays it
    >>> viewer.rois
    []
    """
    panel()
    from imagedata_xr.viewer.viewer import Viewer

    return Viewer(images, **options)


def get_roi(images: Any, *, port: int = 0, browser: bool = True, **options: Any) -> Viewer:
    """
    Let the user draw regions, and wait until Done is pressed or the tab is closed.

    In a notebook it waits for nobody: the viewer is displayed, and the next cell has its regions.

    Parameters
    ----------
    images : DataArray or sequence of DataArray
    port : int
        Of the page; 0 is any free one.
    browser : bool
        Whether to open a browser. The address is printed in any case.
    **options : Any
        Of `imagedata_xr.viewer.Viewer`.

    Returns
    -------
    Viewer
        With ``rois`` and ``mask``.

    Examples
    --------
    >>> mask = imagedata_xr.get_roi(series).mask  # doctest: +SKIP
    """
    shown = view(images, **options)
    if _in_notebook():
        from IPython.display import display

        display(shown)  # type: ignore[no-untyped-call, unused-ignore]
        return shown
    from imagedata_xr.viewer.serving import wait_for_regions

    wait_for_regions(shown, port=port, browser=browser)
    return shown


def show_image(images: Any, *, port: int = 0, browser: bool = True, **options: Any) -> None:
    """
    Serve images on this machine until the page is closed or Ctrl-C is pressed.

    Parameters
    ----------
    images : DataArray or sequence of DataArray
    port : int
        0 is any free one.
    browser : bool
        Whether to open a browser. The address is printed in any case.
    **options : Any
        Of `imagedata_xr.viewer.Viewer`.
    """
    server = view(images, **options).show(port=port, browser=browser)
    print("Close its tab, or press Ctrl-C, to stop", flush=True)  # noqa: T201 - for a person
    try:
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()


def _in_notebook() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"

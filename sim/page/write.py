"""Writes the report of a sweep: the page and its plots as pictures."""

from __future__ import annotations

from pathlib import Path

from sim.files import write_text
from sim.page.data import page_data
from sim.page.html import page
from sim.page.pictures import draw
from sim.pictures import PlotError
from sim.sweep.errors import SweepError
from sim.sweep.store import read

NAME = "report.html"


def write_page(database: Path, out: Path) -> list[Path]:
    """Write ``report.html`` and, where matplotlib is installed, its plots as SVG and PNG files into a folder.

    The same store gives the same bytes.

    Parameters
    ----------
    database : Path
        The sweep's store.
    out : Path
        The folder; made if it does not exist.

    Returns
    -------
    list of Path
        What was written, the page first.

    Raises
    ------
    SweepError
        If the store cannot be read, or no machine in it has a cost of every workload.
    """
    data = read(database)
    if not data.front:
        raise SweepError(f"{database} must have a machine with a cost of every network to report, it has none")
    content = page_data(data)
    path = out / NAME
    try:
        write_text(path, page(data, content))
        return [path, *draw(content, out)]
    except OSError as error:
        raise SweepError(f"out must be a folder that can be written, not {out} ({error.strerror})") from None
    except PlotError:
        return [path]

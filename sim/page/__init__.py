"""The report page of a sweep: one self-contained HTML file, and its plots as pictures."""

from sim.page.write import write_page

__all__ = ["write_page"]

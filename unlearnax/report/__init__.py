"""Reports of a run: figures for papers, one self-contained HTML page, a table for the terminal.

Everything here reads the rows of a run's folder, never arrays.
"""

from unlearnax.report.figures import compass, write_figures
from unlearnax.report.page import write_report
from unlearnax.report.terminal import verdict_table

__all__ = ["compass", "verdict_table", "write_figures", "write_report"]

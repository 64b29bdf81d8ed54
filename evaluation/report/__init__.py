"""The report: one self-contained HTML page and PNG files from an evaluation."""

from __future__ import annotations

from offline_trader.evaluation.report.brief import brief_html, brief_text
from offline_trader.evaluation.report.charts import Line, LineChart
from offline_trader.evaluation.report.compared import render_comparison
from offline_trader.evaluation.report.page import render_report, write_report
from offline_trader.evaluation.report.png import png_bytes

__all__ = [
    "Line",
    "LineChart",
    "brief_html",
    "brief_text",
    "png_bytes",
    "render_comparison",
    "render_report",
    "write_report",
]

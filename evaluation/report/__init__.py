"""The report: one self-contained HTML page and PNG files from an evaluation."""

from __future__ import annotations

from offline_trader.evaluation.report.page import render_page, render_report, write_report

__all__ = ["render_page", "render_report", "write_report"]

"""The report: one self-contained HTML file that asks the network for nothing."""

from __future__ import annotations

from pipeline.report.build import build_report
from pipeline.report.model import ReportData

__all__ = ["ReportData", "build_report"]

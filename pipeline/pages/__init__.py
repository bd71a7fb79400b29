"""The report: one self-contained HTML file that asks the network for nothing."""

from __future__ import annotations

from redoxa.pipeline.pages.campaign.build import build_report
from redoxa.pipeline.pages.kit.model import ReportData

__all__ = ["ReportData", "build_report"]

"""The report page of a bench: one static HTML file that plays its clips without a network."""

from metrics.bench.report.page import write_report

__all__ = ["write_report"]

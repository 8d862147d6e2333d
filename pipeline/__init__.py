"""The driver: `luigi --module pipeline RunAll --config configs/demo.yaml --workers 2 --local-scheduler`."""

from pipeline.driver import install
from pipeline.plan import Plan
from pipeline.root import RunAll
from pipeline.tasks import Collect, Data, Figure, Fit, Report

__all__ = ["Collect", "Data", "Figure", "Fit", "Plan", "Report", "RunAll"]

install()

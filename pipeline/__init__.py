"""The driver: `luigi --module pipeline RunAll --config configs/demo.yaml --workers 2 --local-scheduler`."""

from pipeline.driver import install
from pipeline.tasks import Collect, Data, Figure, Fit, Plan, RunAll

__all__ = ["Collect", "Data", "Figure", "Fit", "Plan", "RunAll"]

install()

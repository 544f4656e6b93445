"""Accuracy of candidates on workloads where they were not measured.

Plain tables and arrays in, estimates with intervals out; nothing here reads a catalog or a file of
rows. Lines of thought: `scale` (logit above chance), `similarity` (side information), `factors`
(the fit), `model` (placing a new workload by its probes), `learning_curve` (few-shot to full).
"""

from advisor.accuracy.model import AccuracyModel
from advisor.accuracy.observations import Observations
from advisor.accuracy.records import Estimates, Probe

__all__ = ["AccuracyModel", "Estimates", "Observations", "Probe"]

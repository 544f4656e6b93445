"""Accuracy of candidates on workloads where they were not measured.

Lines of thought: `scale` (logit above chance), `similarity` (side information), `factors` (the
fit), `model` (placing a new workload by its probes), `learning_curve` (few-shot to full),
`predictor` (the bundled artefact), `estimated` (evidence for an answer; it alone reads a catalog).
"""

"""Evaluation: errors on held-out devices, sources and models; training and its scorecard."""

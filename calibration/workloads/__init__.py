"""Workloads: texts with labels and splits."""

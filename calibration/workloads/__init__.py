"""Workloads: labelled texts with splits, from files, the hub or a seed."""

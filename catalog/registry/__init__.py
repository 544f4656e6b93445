"""Declarations of candidates and workloads."""

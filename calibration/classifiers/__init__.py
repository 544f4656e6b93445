"""Classifiers the suite builds: one module a family."""

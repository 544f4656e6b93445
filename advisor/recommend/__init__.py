"""Recommendation: the qualifying option of least energy and why the others lost."""

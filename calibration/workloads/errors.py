"""Error of texts that cannot be used."""


class WorkloadError(ValueError):
    """Texts that cannot be used; the message names file, column and what is allowed."""

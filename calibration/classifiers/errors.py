"""Error of a candidate that cannot run on this machine."""


class CannotRunError(RuntimeError):
    """A candidate that cannot run on this machine; the message never quotes a data set's text."""

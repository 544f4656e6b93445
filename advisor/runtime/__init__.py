"""Runtime model: seconds of an encoder on a device where it was not run, with intervals."""

"""Hardware of this machine: detection, load, lock."""

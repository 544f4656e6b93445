"""Hardware of the machine: detection, GPU visibility, usage and measurement lock."""

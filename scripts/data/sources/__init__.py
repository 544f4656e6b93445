"""Published measurements, each read by a module of its own."""

"""Energy meters: hardware counters, models and recordings behind one protocol."""

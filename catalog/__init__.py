"""What was measured: records, declarations, schemas, the store and the bundled figures.

The lowest package: it imports none of the others. Finding out what a machine is and how
a number is taken belongs to `calibration`; what follows from the numbers to `advisor`.
"""

"""Readers of image folders, videos and public data sets, and the synthetic data they stand beside.

The name is shared with a package on the public index; `OWNER` lets the commands notice at start
when the other one is imported instead.
"""

OWNER = "fit-hands"

"""Published datasets of behaviour-driven synthesis (Blattmann et al., 2021), as users download them.

Human3.6M's archives, and DeepFashion and Market in the layout of the VUNet. All of it was written by others: archives,
CDF files, HDF5 files and pickles are looked into before they are believed, and nothing in them is run.
"""

from __future__ import annotations

"""No-reference quality models of compressed video: data, branches, group-wise training, official evaluation."""

__version__ = "0.1.0"

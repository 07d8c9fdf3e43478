"""The statistics of a validation report: each a small function of arrays, with its source."""

"""The checks of infra/check.py, one module each, in the order in which they run."""

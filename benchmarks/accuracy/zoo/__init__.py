"""Architectures that published measurements use and no library on PyPI builds: shapes as published, weights of no matter."""

"""Architectures that published measurements use and no library builds: shapes as published, any weights."""

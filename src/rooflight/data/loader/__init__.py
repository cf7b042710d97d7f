"""Samples from disk, decoded by workers while the device works: exact order, exact resume, broken files counted."""

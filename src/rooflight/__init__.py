"""Rooflight: from a GPU's spec sheet to a deployed model, at the hardware's limit."""

__version__ = "0.1.0"

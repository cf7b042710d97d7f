"""The currency: frozen dataclasses, units, errors, JSON, tables. Standard library only."""

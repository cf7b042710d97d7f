"""A device and a callable in, Measurement out."""

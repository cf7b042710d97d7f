"""Reports in, one self-contained page out."""

"""One process for each variant. Workers of peers import nothing of Rooflight: its package is not in their environment."""

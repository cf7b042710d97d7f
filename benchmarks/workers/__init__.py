"""One process for each variant. Workers of peers import nothing of Rooflight, which their environment lacks."""

"""End to end: one function and one file per command. Rooms meet here and nowhere else."""

"""Engines that carry out a pipeline's program: each gets the same pixels, as fast as it can."""

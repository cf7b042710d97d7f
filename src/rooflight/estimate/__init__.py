"""Trace and device in, Estimate out: time, memory, what bounds them."""

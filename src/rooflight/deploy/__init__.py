"""Checkpoint in, verified deployable file out; one Runner for every runtime."""

"""Figures that the README and the docs claim, each made by a script here, peers and Rooflight in the same run."""

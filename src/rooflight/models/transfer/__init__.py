"""Transfer learning: a pretrained base without its classifier, frozen, and a head on top of it."""

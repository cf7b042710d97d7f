"""Parse, call a flow, print its Report."""

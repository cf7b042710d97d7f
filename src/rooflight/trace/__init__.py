"""Model and example batch in, Trace out: one Op per operator, and the lifetime of every tensor."""

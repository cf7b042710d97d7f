"""One description of what happens to an image; one pass over its pixels."""

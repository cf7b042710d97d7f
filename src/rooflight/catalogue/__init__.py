"""GPUs, links and prices one can get: data files, made into GpuSpec, Link and Offer, each with its source."""

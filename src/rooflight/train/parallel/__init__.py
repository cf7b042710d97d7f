"""One model on many GPUs and hosts: PyTorch's own forms of parallelism, behind the few calls that a step makes."""

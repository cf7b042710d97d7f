"""What this machine has: CPU, GPUs, frameworks, and what is set for this process."""

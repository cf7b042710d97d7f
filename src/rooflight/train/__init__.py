"""Model, batches and TrainConfig in; Checkpoint and metrics out."""

"""Checkpoints that outlive the process, the disk's whims and a change of machine.

A checkpoint is a folder, RUN/checkpoints/step-00000123:

    model.safetensors     the weights that prediction and export use
    training.safetensors  what a resume needs besides: optimizer, averages, sums
    checkpoint.json       core.runs.Checkpoint: configuration, classes, place in the run
    manifest.json         format version, bytes and sha256 of the three; written last

It is whole or not there, and RUN/checkpoints/latest names one that was read back. safetensors and JSON hold no code.
"""

"""Clips from video files: frames sampled by stride or by time, decoded as uint8 (T, C, H, W)."""

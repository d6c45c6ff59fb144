"""Metrics as pure functions of arrays, and the encoders that turn images into those arrays."""

"""The harness: the only package that knows methods, metrics and files together."""

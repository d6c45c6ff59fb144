"""The gate: has a metric really got worse since a baseline was stored?"""

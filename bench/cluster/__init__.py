"""Cells as tasks of a Ray cluster: `driver` submits them, `node` works on one of them, `parcel` is what travels."""

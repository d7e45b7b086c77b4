"""Medical images as labelled, lazy xarray arrays."""

"""
Fuzzers of everything that reads bytes or text from strangers.

``python -m fuzzing`` runs them all for a while, ``python -m fuzzing headers --seconds 3600`` one of
them for an hour; ``--engine atheris`` guides the mutations by coverage. ``python -m fuzzing.series``
damages whole series and compares every voxel with the undamaged array.
"""

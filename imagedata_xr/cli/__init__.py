"""
The command line: ``image_data``.

Nothing heavy is imported before there is work to do, so that ``image_data --help`` answers at once.
"""

"""File formats: one drawer each; they do not know each other."""

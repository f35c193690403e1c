"""The eight screens, one a word of the life cycle."""

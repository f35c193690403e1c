"""One prediction: why it is so, what would change it, what is like it, and how it comes about."""

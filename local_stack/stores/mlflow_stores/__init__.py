"""Other people's MLflow stores, read without MLflow: folders, SQLite files and servers.

Nothing here writes. Whatever cannot be read is told in the ``problem`` of what it belongs to,
because one broken run must neither hide itself nor the others.
"""

"""Work on a Dask cluster: folds, trials, and training on rows that lie with its workers.

This package alone knows Dask.
"""

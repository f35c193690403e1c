"""Evaluation: which rows are held out, and metrics of predictions."""

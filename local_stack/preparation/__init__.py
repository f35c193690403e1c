"""Preparation of features: declared steps, fitted state, and its compiled form."""

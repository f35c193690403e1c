"""Contracting: what a data set promises, learnt, written, taken over and checked."""

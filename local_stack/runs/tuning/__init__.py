"""Tuning: a study searches the parameters of a recipe, trial by trial."""

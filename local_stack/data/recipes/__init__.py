"""Recipes of preparation as documents: their text, its outline, and a first one."""

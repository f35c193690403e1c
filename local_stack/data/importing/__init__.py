"""Importing: from bytes of any format to one normalised table, with an account of it."""

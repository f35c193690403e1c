"""Sharing: how versions lie on a remote, and how DVC describes them."""

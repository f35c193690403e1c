"""Fixtures of the engine's tests that more than one file uses."""

from __future__ import annotations

from s3_kit import s3_environment, s3_server

__all__ = ["s3_environment", "s3_server"]

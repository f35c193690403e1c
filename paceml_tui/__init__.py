"""PACE-ML's terminal program: app, command line and batch."""

__version__ = "0.1.0"

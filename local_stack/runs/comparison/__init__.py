"""What tells runs apart: values that differ, metrics with intervals, curves, code and packages."""

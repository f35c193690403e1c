"""Whether a model treats groups of rows alike: metrics, disparities, causes, and thresholds."""

"""SHAP values: how much each column adds to each prediction, by the fastest exact way there is."""

"""What columns do to the predictions of a model as a whole, beside their SHAP values."""

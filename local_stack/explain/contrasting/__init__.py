"""Two explanations beside each other: of two models, data versions, windows of time or groups."""

"""What an explanation looks like on paper: PNG figures and one HTML page."""

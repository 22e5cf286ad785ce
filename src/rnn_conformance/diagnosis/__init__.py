"""What is behind a failure, as far as it can be known."""

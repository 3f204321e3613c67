"""What passes between pipeline stages: where each file is and what it contains."""

"""Weights from elsewhere, and exports to elsewhere."""

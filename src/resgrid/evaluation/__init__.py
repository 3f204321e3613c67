"""Evaluation of trained cells on the test split, which no other part of the pipeline reads."""

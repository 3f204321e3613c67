"""Evaluation of trained cells on the test split: the only part of the project that reads it."""

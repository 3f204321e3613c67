"""Sweeps: the stale cells of DVC's graph side by side, on Ray Tune. The only package that imports ray or dvc.

A stage is taken at its word: it runs on a copy of what it declares, and what it declares comes back.
"""

"""Sweeps and searches: stale cells of DVC's graph in parallel on Ray Tune. Only this package imports ray or dvc.

A pipeline stage runs on what it declares in dvc.yaml, and the sweep records only the outputs that it declares.
"""

"""Measurements of speed: `python -m benchmarks.train`; what they mean is in `docs/performance.md`."""

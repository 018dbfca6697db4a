"""Measurements that people can repeat: `python -m benchmarks.NAME`. Nothing here is asserted in tests."""

"""Measurements: ``python -m benchmarks.NAME`` runs one and writes its JSON to ``results``."""

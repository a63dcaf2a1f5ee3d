"""A fault harness: real servers, real processes, journals as the record of truth, seeded faults, an own checker.

    make chaos            or: PYTHONPATH=tests python -m chaos --seed 7 --faults 30

docs/faults.md says what is injected and how a run is read.
"""

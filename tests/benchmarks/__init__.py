"""Measurements, each a script: what takes minutes, so `make check` leaves it out."""

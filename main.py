"""The deployed functions: one import each, nothing else."""

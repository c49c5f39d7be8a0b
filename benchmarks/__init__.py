"""How fast is quernel, side by side with others? `python -m benchmarks.versus --help`."""

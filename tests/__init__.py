"""The tests, and the table of cases that the benchmarks share with them."""

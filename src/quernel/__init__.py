"""quernel: deep learning on a CPU."""

"""What is measured: `kernels` are single operations, `training` and `inference` are networks."""

"""Batches for training: `batches` for arrays, `TensorDataset` and `DataLoader` for everything else."""

from quernel.data.loader import DataLoader, Dataset, TensorDataset, batches, validation_split

__all__ = ["DataLoader", "Dataset", "TensorDataset", "batches", "validation_split"]

"""Training of Simple Attention Networks: data, network, optimiser, export.

The engine that runs the result is Rust; this package needs PyTorch and is used offline only.
"""

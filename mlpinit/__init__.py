"""How neural networks start: the package that the book runs on, and that runs on your models."""

__version__ = "0.1.0"

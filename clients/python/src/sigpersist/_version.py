"""The version, which is that of the server whose API this client knows."""

__version__ = "0.1.0"

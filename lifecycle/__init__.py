"""Acts on a host through its Docker engine; run as ``python -m lifecycle ACTION``."""

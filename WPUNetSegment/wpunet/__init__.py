"""WP-UNet: kidneys and kidney tumors in CT, offline, on a CPU."""

__version__ = "0.6.0"

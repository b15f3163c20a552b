"""WP-UNet: kidneys and kidney tumors in CT, offline, on a CPU."""

__version__ = "0.12.0"

USE = "For research only: not a medical device. Weights: CC BY-NC-SA 4.0 (trained on KiTS19 and KiTS23)."

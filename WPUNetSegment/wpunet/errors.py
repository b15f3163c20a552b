"""Errors a user can act on: each message names the file, what is wrong and what to do."""

from __future__ import annotations


class WpunetError(Exception):
    """Base class of every error that the engine raises on purpose; its text is one sentence for the user."""


class InputError(WpunetError):
    """The CT or an option cannot be used as given."""


class OutputError(WpunetError):
    """A result cannot be written where it was asked for."""


class WeightsError(WpunetError):
    """The weights file is missing, damaged or of another network."""


class DeviceError(WpunetError):
    """The device that was asked for does not exist here."""


class Cancelled(WpunetError):
    """The caller asked to stop."""


class InstallError(WpunetError):
    """A package that the engine needs is not installed, or cannot be."""

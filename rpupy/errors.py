"""The exceptions rpupy owns; everything else is a TypeError or a ValueError."""

__all__ = ["BackendUnavailableError", "ConfigError", "StateError"]


class ConfigError(ValueError):
    """A configuration holds a value, or a combination of values, that is not legal."""


class BackendUnavailableError(RuntimeError):
    """A backend was asked for that this machine or this build does not have."""


class StateError(ValueError):
    """A saved state is damaged, altered, or written by a newer version."""

"""The exceptions rpupy owns; everything else is a TypeError or a ValueError."""

__all__ = ["BackendUnavailableError", "ConfigError", "CudaError", "StateError"]


class ConfigError(ValueError):
    """A configuration holds a value, or a combination of values, that is not legal."""


class BackendUnavailableError(RuntimeError):
    """A backend was asked for that this machine or this build does not have."""


class CudaError(RuntimeError):
    """The CUDA runtime refused something.

    Parameters
    ----------
    message : str
        What was asked for and what it answered.
    status : str
        Name of the status, such as ``"cudaErrorMemoryAllocation"``.
    place : str
        File and line of the call.

    Attributes
    ----------
    status, place : str
    """

    def __init__(self, message: str, status: str = "", place: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.place = place


class StateError(ValueError):
    """A saved state is damaged, altered, or written by a newer version."""

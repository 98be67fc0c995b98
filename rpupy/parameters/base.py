"""What every RPU configuration is built on.

`RPUConfigBase` starts the chain ``RPUConfigBase <- PrePostProcessingRPU <- MappableRPU
<- IOManagedRPUConfig <- SingleRPUConfig``. It is one line because classes with slots
cannot have two bases with fields. The tools for all parameter classes are exported here
too: they live in `definition`, `fields` and `serialisation`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from .definition import (
    Parameters,
    config_class,
    define,
    frozen_copy,
    pending_settings,
    register_config_class,
    thawed_copy,
)
from .fields import choice, derived, flag, integer, part, parts, real, reals, text
from .runtime import RuntimeParameter
from .serialisation import from_dict, to_dict

if TYPE_CHECKING:
    from .explain import Explanation

__all__ = [
    "Parameters",
    "RPUConfigBase",
    "choice",
    "config_class",
    "define",
    "derived",
    "flag",
    "from_dict",
    "frozen_copy",
    "integer",
    "part",
    "parts",
    "pending_settings",
    "real",
    "reals",
    "register_config_class",
    "text",
    "thawed_copy",
    "to_dict",
]

C = TypeVar("C", bound="RPUConfigBase")


@define
class RPUConfigBase(Parameters):
    """Configuration of one tile.

    Parameters
    ----------
    runtime : RuntimeParameter
        How the tile computes. Left out when configurations are compared.
    """

    #: Which kind of tile the registry builds; None: this class is only a base.
    tile_kind: ClassVar[str | None] = None

    runtime: RuntimeParameter = part(RuntimeParameter, compare=False)

    @property
    def tile_class(self) -> type:
        """Class of the tile for this configuration, as the registry has it now."""
        from rpupy import registry

        found: type = registry.tile_class(self)
        return found

    @property
    def tile_array_class(self) -> type:
        """Class for matrices that need several tiles; not built yet."""
        raise NotImplementedError("tile arrays are not built yet")

    def create_tile(self, *args: Any, **kwargs: Any) -> Any:
        """Build a tile with this configuration.

        Parameters
        ----------
        *args, **kwargs
            Go to the tile class, which gets ``rpu_config`` besides.

        Returns
        -------
        tile
            An instance of `tile_class`.
        """
        return self.tile_class(*args, rpu_config=self, **kwargs)

    def explain(self) -> Explanation:
        """List every effect that acts, its size, and settings that do nothing.

        Returns
        -------
        Explanation
            A sequence of rows that prints as a table.

        Examples
        --------
        >>> from rpupy.configs import SingleRPUConfig, ConstantStepDevice
        >>> config = SingleRPUConfig(device=ConstantStepDevice(dw_min_std=0.2))
        >>> row = next(r for r in config.explain() if r.field == "device.dw_min_std")
        >>> row.effect, row.size, row.unit, row.acts_on
        ('ctoc', 0.0002, 'weight units', 'update')
        """
        from .explain import explain

        return explain(self)

    def without(self: C, *effects: str) -> C:
        """Copy the configuration and switch effects off in the copy, for ablations.

        Parameters
        ----------
        *effects : str
            Groups, as `explain` lists them, or fields; see `rpupy.parameters.explain`.

        Returns
        -------
        config
            A copy whose fields can be changed.

        Raises
        ------
        ConfigError
            If a name is not known, or its effect cannot be switched off.

        Examples
        --------
        >>> from rpupy.configs import SingleRPUConfig
        >>> SingleRPUConfig().without("dtod", "read noise").forward.out_noise
        0.0
        """
        from .explain import without

        return without(self, *effects)

    def compatible_with(self, tile_class_name: str) -> bool:
        """Whether a tile of that class can take this configuration.

        Parameters
        ----------
        tile_class_name : str
            Name of a tile class.

        Returns
        -------
        bool
        """
        return bool(self.tile_class.__name__ == tile_class_name)

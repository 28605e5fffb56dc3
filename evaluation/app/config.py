"""The ``[dashboard]`` table of the configuration."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DashboardConfig:
    """example_images: data sets whose pictures may be shown behind a cell; none by default, never identifiable ones."""

    example_images: tuple[str, ...] = ()

"""A rule becomes machine code: traced (trace), printed (source), compiled and kept (cache), run (cpu, pool); or run as
it stands on whole arrays (eager). Every engine runs the one function in `stages`."""

from stepwell.kernels.stages import STAGE_SCALARS, Stages

__all__ = ["STAGE_SCALARS", "Stages"]

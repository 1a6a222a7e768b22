"""The tables as compiled code sees them. Addresses are integers here: a stage makes them what it needs."""

from fastmlp.engine.simd import struct
from fastmlp.engine.tables import LAYER, RUN, SCHEDULE, STEP

layer_table, run_table = struct("layer", LAYER), struct("run", RUN)
schedule_table, step_table = struct("schedule", SCHEDULE), struct("step", STEP)

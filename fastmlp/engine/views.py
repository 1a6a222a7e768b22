"""The tables as compiled code sees them. Addresses are integers here: a stage makes them what it needs."""

from fastmlp.engine.simd import struct
from fastmlp.engine.tables import LAYER, RUN, SCHEDULE, STEP


def _view(name, fields):
    return struct(name, dict.fromkeys(fields, "int"))


layer_table, run_table = _view("layer", LAYER), _view("run", RUN)
schedule_table, step_table = _view("schedule", SCHEDULE), _view("step", STEP)

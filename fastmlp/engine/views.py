"""The tables as compiled code sees them. Addresses are integers here: a stage makes them what it needs."""

from fastmlp.engine.simd import struct
from fastmlp.engine.tables import LAYER, RUN, SCHEDULE, STEP


def _view(name, fields):
    return struct(name, {field: "float" if kind == "float" else "int" for field, (kind, *_) in fields.items()})


layer_table, run_table = _view("layer", LAYER), _view("run", RUN)
schedule_table, step_table = _view("schedule", SCHEDULE), _view("step", STEP)

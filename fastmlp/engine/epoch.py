"""The epoch as one thread runs it: a schedule, played once a batch, with a barrier between its phases.

Whatever the network, the data and the optimizer are, this is the loop; all the rest is in the schedule. Subnormal
numbers count as 0 in it: the means of gradients that stay away would be such numbers before long, with which some
processors compute a hundred times as slowly.
"""

from fastmlp.engine.division import end_in_time, is_over, meet
from fastmlp.engine.simd import call, flush_subnormals, kernel, least, pointer, restore_arithmetic, ticks
from fastmlp.engine.views import run_table, schedule_table, step_table

integers = pointer("i64")


@kernel
def play(run, schedule, phase):
    """This thread's part of a phase: its stages, one after the other."""
    ends, steps = integers(schedule.ends), step_table(schedule.steps)
    for j in range(ends[phase], ends[phase + 1]):
        call(steps[j].stage, run, steps[j].layer)


def make_epoch():
    """Return the function epoch(address of a thread's table, address of a schedule's)."""

    def epoch(run, address):
        t, schedule = run_table(run), schedule_table(address)
        before = flush_subnormals()
        t.stalled, t.elapsed = 0, -ticks()
        t.turn = 1
        t.next_at, t.next_size = t.begin, least(t.batch, t.n - t.begin)
        play(run, schedule, 0)
        count = meet(t, 0)
        while t.next_size > 0:
            t.at, t.size, t.turn = t.next_at, t.next_size, 1 - t.turn
            t.next_at = t.at + t.size
            t.next_size = least(t.batch, t.n - t.next_at)
            t.rate = t.rates + t.at // t.batch * t.rate_bytes
            end_in_time(t)
            for phase in range(1, schedule.phases):
                play(run, schedule, phase)
                if phase + 1 < schedule.phases:
                    count = meet(t, count)
            if is_over(t):
                break
        t.elapsed = t.elapsed + ticks()
        restore_arithmetic(before)

    return epoch

"""What every measuring script needs of a clock. Imports nothing that takes time."""

import time

CLOCK = time.perf_counter


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def timed(function):
    start = CLOCK()
    function()
    return CLOCK() - start


def median_of(function, count, warm_up):
    """Median time of one call."""
    for _ in range(warm_up):
        function()
    return median([timed(function) for _ in range(count)])

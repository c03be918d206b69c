"""What the table of compare.py shows: which contender is measured against which, and the ratio to reach.

A name is "<work>/<role>:<variant>", as catalog.h gives it. A base that ends in ":" stands for the fastest contender whose name
begins with it.
"""

import dataclasses
from typing import List, Optional

# Each program, and how the works that it measures begin.
PROGRAMS = {
    "nop_benchmark": ["nop_"],
    "cached_read_benchmark": ["cached_read_32/", "cached_read_1/"],
    "whole_file_read_benchmark": ["whole_file_read_"],
    "file_create_benchmark": ["file_create_"],
    "o_direct_benchmark": ["o_direct_read_"],
    "timeout_benchmark": ["read_with_timeout_32/", "read_without_timeout_32/"],
    "handlers_benchmark": ["read_by_"],
    "trace_benchmark": ["read_unrecorded_32/", "read_recorded_"],
    "two_threads_benchmark": ["cached_read_32_threads_"],
    "many_pids_benchmark": ["reads_of_"],
    "idle_rings_benchmark": ["idle_rings/"],
    "tcp_echo_benchmark": ["tcp_echo_"],
}

# Works whose contenders, those WITH_THREADS aside, use no thread but the caller's.
SINGLE_THREADED = ["nop_", "cached_read_32/", "cached_read_1/", "read_with_timeout_32/", "read_without_timeout_32/", "reads_of_", "read_by_", "read_unrecorded_32/", "read_recorded_"]
WITH_THREADS = ["pool", "libuv", "threads_executor"]

THREADINGS = ["any_thread", "one_thread"]


def works_of(row):
    return [name.split("/")[0] for name in row.names()]


def is_single_threaded(name):
    return any(name.startswith(prefix) for prefix in SINGLE_THREADED) and not any(word in name for word in WITH_THREADS)


@dataclasses.dataclass
class Row:
    """One line of the table."""

    label: str
    base: str
    ours: str
    # The largest ratio ours / base that meets the target; None where there is none.
    limit: Optional[float] = None
    # Shown beside it as ratios to the same base.
    peers: List[str] = dataclasses.field(default_factory=list)

    def names(self):
        return [self.base, self.ours]


@dataclasses.dataclass
class MemoryRow:
    """A line that shows a counter in bytes instead of times."""

    label: str
    ours: str
    counter: str
    limit: float

    def names(self):
        return [self.ours]


def _rows_of_work(label, work, limit, peers, variants):
    for variant in variants:
        # The targets are about the calls that wait apart from submitting; the combined call is shown for comparison.
        row_limit = None if variant.endswith("submit_and_wait") else limit
        peer_names = [f"{work}/peer:{peer}" for peer in peers]
        yield Row(f"{label} [{variant}]", f"{work}/floor:", f"{work}/ours:{variant}", row_limit, peer_names)


def _against_peer(label, work, peer, limit):
    for threading in THREADINGS:
        yield Row(f"{label} [{threading}]", f"{work}/peer:{peer}", f"{work}/ours:{threading}", limit)


def _threads_executor(label, work, peers):
    """The executor for hosts without io_uring, over what its users would write by hand."""
    yield from _rows_of_work(label, work, None, peers, ["threads_executor"])
    for peer in ["pool4", "libuv"]:
        yield Row(f"... over {peer} [threads_executor]", f"{work}/peer:{peer}", f"{work}/ours:threads_executor", 1.0)


def all_rows():
    with_combined = [threading + suffix for threading in THREADINGS for suffix in ["", "_submit_and_wait"]]
    for batch, limit in [(1, None), (32, 1.6), (256, 1.6)]:
        yield from _rows_of_work(f"NOP, batch {batch}", f"nop_{batch}", limit, [], with_combined)

    pools = ["pool4", "pool4_in_chunks", "libuv"]
    yield from _rows_of_work("cached 4 KiB read, batch 32", "cached_read_32", 1.12, ["pread"] + pools, with_combined)
    yield from _against_peer("... over a 4-thread pool", "cached_read_32", "pool4", 0.5)
    registered = [threading + "_registered" for threading in THREADINGS]
    yield from _rows_of_work("... with file and memory registered", "cached_read_32", 1.05, [], registered)
    yield from _threads_executor("cached 4 KiB read, batch 32", "cached_read_32", ["pread"] + pools)
    yield from _rows_of_work("one cached 4 KiB read", "cached_read_1", 1.3, ["pread", "pool4", "libuv"], with_combined)

    with_timeout, without_timeout = "read_with_timeout_32", "read_without_timeout_32"
    for variant, limit in [(f"ours:{threading}", 1.15) for threading in THREADINGS] + [("floor:defer_taskrun", None)]:
        label = f"a timeout on each of 32 reads over none [{variant}]"
        yield Row(label, f"{without_timeout}/{variant}", f"{with_timeout}/{variant}", limit)
    yield from _rows_of_work("... over a link timeout for each", with_timeout, 1.0, [], THREADINGS)

    for threading in THREADINGS:
        batch, coroutine = f"read_by_batch_32/ours:{threading}", f"read_by_coroutine_32/ours:{threading}"
        # 120 ns more are asked for; a batch's read takes 400 here.
        yield Row(f"32 reads by coroutines over a batch [{threading}]", batch, coroutine, 1.3)
        yield Row(f"32 reads by callbacks over a batch [{threading}]", batch, f"read_by_callback_32/ours:{threading}")
        yield Row(f"32 reads by a handler over coroutines [{threading}]", coroutine, f"read_by_handler_32/ours:{threading}", 1.3)
        many = f"read_by_coroutine_10000/ours:{threading}"
        yield Row(f"10,000 requests of a handler over coroutines [{threading}]", many, f"read_by_handler_10000/ours:{threading}", 1.3)

    for where in ["file", "memory"]:
        for threading in THREADINGS:
            recorded = f"read_recorded_to_{where}_32/ours:{threading}"
            label = f"32 reads recorded to {where} over unrecorded [{threading}]"
            yield Row(label, f"read_unrecorded_32/ours:{threading}", recorded, 1.05)

    for depth in [32, 128]:
        yield from _rows_of_work(f"O_DIRECT 4 KiB read, {depth} at a time", f"o_direct_read_{depth}", 1.1, ["pread", "pool4"], THREADINGS)

    plain = ["plain", "plain_fstat"]
    yield from _rows_of_work("whole small files, disk", "whole_file_read_disk", 1.1, plain + pools, THREADINGS)
    yield from _against_peer("... over plain calls", "whole_file_read_disk", "plain", 1.0)
    yield from _threads_executor("whole small files, disk", "whole_file_read_disk", plain + pools)
    yield from _rows_of_work("whole small files, tmpfs", "whole_file_read_tmpfs", None, plain + pools, THREADINGS)
    yield from _against_peer("... over plain calls", "whole_file_read_tmpfs", "plain", 1.0)
    yield from _threads_executor("whole small files, tmpfs", "whole_file_read_tmpfs", plain + pools)

    creators = ["plain", "two_plain_threads", "pool4"]
    yield from _rows_of_work("create small files, disk", "file_create_disk", 1.0, creators, THREADINGS)
    yield from _rows_of_work("create small files, tmpfs", "file_create_tmpfs", None, creators, THREADINGS)

    # 1.6 times the throughput is 1 / 1.6 of the time per operation.
    work = "cached_read_32_threads"
    for contender in ["ours:any_thread", "ours:a_one_thread_manager_each", "floor:a_ring_each", "peer:pread"]:
        limit = 1 / 1.6 if contender.startswith("ours") else None
        yield Row(f"2 threads over 1, reads [{contender}]", f"{work}_1/{contender}", f"{work}_2/{contender}", limit)

    for variant in [threading + how for threading in THREADINGS for how in ["_wait", "_reap"]]:
        one, many = f"reads_of_1_pid/ours:{variant}", f"reads_of_1000_pids/ours:{variant}"
        yield Row(f"1,000 pids over 1, reads [{variant}]", one, many, 1.3)
    waiting = [threading + "_wait" for threading in THREADINGS]
    yield from _rows_of_work("1,000 reads of one pid, one by one", "reads_of_1_pid", None, [], waiting)

    # Connections of a single server, whose thread is the only one that may call: kOneThread is what it asks for.
    echoers = ["epoll", "libuv", "asio"]
    for connections in [64, 512]:
        for placement, where in [("apart", "a core each"), ("together", "one core")]:
            work = f"tcp_echo_{connections}_{placement}"
            label = f"TCP echo, {connections} connections, {where}"
            yield from _rows_of_work(label, work, 1.2, echoers, ["one_thread"])
            yield from _rows_of_work(label, work, None, echoers, ["threads_executor"])

    for threading in THREADINGS:
        for counter in ["bytes_per_idle_ring", "bytes_per_used_ring"]:
            yield MemoryRow(f"{counter}, 10,000 of them [{threading}]", f"idle_rings/ours:{threading}", counter, 8192)

#!/usr/bin/env python3
"""Checks a file against Chrome's trace event format, as far as trace_dump writes it.

usage: check_chrome_trace.py FILE [EVENTS]

Exits with 1 and says why when the file is no such trace, or has another number of events than EVENTS.
"""

import json
import sys
from collections import defaultdict
from decimal import Decimal

REQUIRED = {
    "M": {"name": str, "pid": int, "tid": int, "args": dict},
    "X": {"name": str, "cat": str, "pid": int, "tid": int, "ts": Decimal, "dur": Decimal},
    "i": {"name": str, "cat": str, "pid": int, "tid": int, "ts": Decimal, "s": str, "args": dict},
    "C": {"name": str, "cat": str, "pid": int, "ts": Decimal, "args": dict},
    "s": {"name": str, "cat": str, "pid": int, "tid": int, "ts": Decimal, "id": int},
    "f": {"name": str, "cat": str, "pid": int, "tid": int, "ts": Decimal, "id": int, "bp": str},
}
METADATA = {"process_name": "name", "process_sort_index": "sort_index", "thread_name": "name", "thread_sort_index": "sort_index"}


def refuse_constant(text):
    raise ValueError(f"{text} is no JSON")


def refuse_twice(pairs):
    keys = [key for key, _ in pairs]
    assert len(set(keys)) == len(keys), f"a key twice in {keys}"
    return dict(pairs)


def check(path, expected_events):
    with open(path, encoding="utf-8", errors="strict") as stream:
        trace = json.load(stream, parse_float=Decimal, parse_constant=refuse_constant, object_pairs_hook=refuse_twice)
    assert trace["displayTimeUnit"] in ("ns", "ms")
    assert isinstance(trace["otherData"], dict)
    events = trace["traceEvents"]
    assert expected_events is None or len(events) == expected_events, f"{len(events)} events"

    processes, threads = set(), set()
    slices = defaultdict(list)
    flows = defaultdict(dict)
    for event in events:
        phase = event["ph"]
        for key, kind in REQUIRED[phase].items():
            assert type(event[key]) is kind, f"{key} of {event}"
        assert 0 <= event["pid"] < 2**31 and event.get("tid", 0) >= 0, event
        if phase == "M":
            assert METADATA[event["name"]] in event["args"], event
            (processes if event["name"].startswith("process") else threads).add(
                event["pid"] if event["name"].startswith("process") else (event["pid"], event["tid"]))
            continue
        is_global = phase == "i" and event["s"] == "g"
        assert is_global or event["pid"] in processes, f"a process without a name: {event}"
        assert is_global or phase == "C" or (event["pid"], event["tid"]) in threads, f"a thread without a name: {event}"
        if phase == "X":
            assert event["dur"] >= 0, event
            slices[event["pid"], event["tid"]].append((event["ts"], -event["dur"], event))
        elif phase == "i":
            assert event["s"] in ("g", "p", "t"), event
        elif phase == "C":
            assert event["args"] and all(isinstance(value, (int, Decimal)) and value >= 0 for value in event["args"].values()), event
        else:
            assert phase not in flows[event["id"]], f"twice: {event}"
            flows[event["id"]][phase] = event

    for thread, of_thread in slices.items():
        open_until = []
        for begin, minus_duration, event in sorted(of_thread, key=lambda slice: slice[:2]):
            while open_until and open_until[-1] <= begin:
                open_until.pop()
            end = begin - minus_duration
            assert not open_until or end <= open_until[-1], f"overlaps with what stands around it on {thread}: {event}"
            open_until.append(end)

    for flow, ends in flows.items():
        assert set(ends) == {"s", "f"}, f"half a flow: {ends}"
        for end in ends.values():
            around = slices[end["pid"], end["tid"]]
            assert any(begin <= end["ts"] <= begin - minus for begin, minus, _ in around), f"a flow that binds to nothing: {end}"


if __name__ == "__main__":
    try:
        check(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)
    except (AssertionError, ValueError, KeyError) as error:
        sys.exit(f"{sys.argv[1]}: {type(error).__name__}: {error}")

#!/usr/bin/env python3
"""Tests of compare_table.py and of the rows' names."""

import unittest

import compare_rows
import compare_table


def report(**times):
    """A program's report in which each contender takes so many nanoseconds per operation."""
    names = {name: name.replace("__", "/").replace("_is_", ":") + "/real_time" for name in times}
    return {"benchmarks": [{"name": names[name], "items_per_second": 1e9 / time} for name, time in times.items()]}


class CompareTableTest(unittest.TestCase):
    def setUp(self):
        self.samples = compare_table.Samples()
        for floor, slow_floor, ours in [(100, 300, 110), (200, 300, 300), (100, 300, 120)]:
            peer = 2 * floor
            self.samples.add_report(report(w__floor_is_a=floor, w__floor_is_b=slow_floor, w__ours_is_x=ours, w__peer_is_p=peer))

    def cells(self, row):
        return [cell.strip() for cell in compare_table.table(self.samples, [row])[2].strip("|").split("|")]

    def test_ratio_is_the_median_of_the_rounds_ratios(self):
        row = compare_rows.Row("work", "w/floor:", "w/ours:x", 1.25, ["w/peer:p"])
        self.assertEqual(self.cells(row), ["work", "100 ns", "120 ns", "1.20", "1.10..1.50", "<= 1.25", "met", "p 2.00"])

    def test_a_missed_target_says_so(self):
        row = compare_rows.Row("work", "w/floor:", "w/ours:x", 1.1)
        self.assertEqual(self.cells(row)[6], "MISSED")

    def test_the_floor_is_its_fastest_variant(self):
        self.assertEqual(self.samples.best("w/floor:"), "w/floor:a")
        self.assertEqual(self.samples.best("w/floor:b"), "w/floor:b")
        self.assertIsNone(self.samples.best("v/floor:"))

    def test_a_failed_contender_is_no_measurement(self):
        self.samples.add_report({"benchmarks": [{"name": "w/ours:y/real_time", "error_occurred": True, "error_message": "why"}]})
        self.assertEqual(self.samples.errors, {"w/ours:y": "why"})
        self.assertNotIn("w/ours:y", self.samples.times)

    def test_a_row_without_measurements_is_left_out(self):
        self.assertEqual(len(compare_table.table(self.samples, [compare_rows.Row("v", "v/floor:", "v/ours:x")])), 2)

    def test_memory(self):
        run = {"name": "idle_rings/ours:x/manual_time", "items_per_second": 1, "bytes_per_idle_ring": 9000.0}
        self.samples.add_report({"benchmarks": [run]})
        row = compare_rows.MemoryRow("memory", "idle_rings/ours:x", "bytes_per_idle_ring", 8192)
        self.assertEqual(self.cells(row)[2:7], ["9000 B", "", "9000..9000", "<= 8192 B", "MISSED"])

    def test_processor_time_is_taken_where_only_the_caller_runs(self):
        samples = compare_table.Samples(cpu_time=True)
        for name in ["nop_1/ours:x", "file/ours:x", "cached_read_32/peer:pool4"]:
            samples.add_report({"benchmarks": [{"name": name, "items_per_second": 1e7, "real_time": 50, "cpu_time": 20}]})
        self.assertEqual(samples.times, {"nop_1/ours:x": [40]})

    def test_times_have_three_digits(self):
        self.assertEqual([compare_table.format_time(t) for t in [51.23, 4931, 1234567]], ["51.2 ns", "4.93 us", "1.23 ms"])

    def test_every_row_is_measured_by_exactly_one_program(self):
        all_prefixes = [prefix for prefixes in compare_rows.PROGRAMS.values() for prefix in prefixes]
        for row in compare_rows.all_rows():
            for work in compare_rows.works_of(row):
                self.assertEqual(sum((work + "/").startswith(prefix) for prefix in all_prefixes), 1, row)


if __name__ == "__main__":
    unittest.main()

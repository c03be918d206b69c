#!/usr/bin/env python3
"""Merges coverage data into one lcov tracefile.

Bazel calls it twice over: after each test, with --coverage_dir holding what gcov wrote (one JSON
document per object file), and once for a whole run, with --reports_file naming the reports of the tests.
"""

import argparse
import collections
import glob
import gzip
import json
import os
import re
import sys


class Merger:
    """Line and function counts by source file."""

    def __init__(self, excluded, renamed):
        self._excluded = [re.compile(pattern) for pattern in excluded]
        self._renamed = renamed
        self._lines = collections.defaultdict(collections.Counter)
        self._functions = collections.defaultdict(dict)

    def _source(self, name):
        name = self._renamed.get(name, name)
        # What is under bazel-out was generated; nobody writes tests for that.
        if os.path.isabs(name) or name.startswith('bazel-out/'):
            return None
        return None if any(p.fullmatch(name) for p in self._excluded) else name

    def add_line(self, source, line, count):
        self._lines[source][line] += count

    def add_function(self, source, name, line, count):
        known = self._functions[source].get(name, (line, 0))
        self._functions[source][name] = (known[0], known[1] + count)

    def read_gcov(self, path):
        with gzip.open(path, 'rt', encoding='utf-8') as stream:
            document = json.load(stream)
        for record in document['files']:
            source = self._source(record['file'])
            if source is None:
                continue
            for line in record['lines']:
                self.add_line(source, line['line_number'], line['count'])
            for function in record['functions']:
                self.add_function(source, function['name'], function['start_line'],
                                  function['execution_count'])

    def read_lcov(self, path):
        source = None
        starts = {}
        with open(path, encoding='utf-8') as stream:
            for text in stream:
                key, _, value = text.rstrip('\n').partition(':')
                if key == 'SF':
                    source = self._source(value)
                    starts = {}
                elif source is None:
                    continue
                elif key == 'FN':
                    line, name = value.split(',', 1)
                    starts[name] = int(line)
                elif key == 'FNDA':
                    count, name = value.split(',', 1)
                    self.add_function(source, name, starts.get(name, 0), int(count))
                elif key == 'DA':
                    fields = value.split(',')
                    self.add_line(source, int(fields[0]), int(fields[1]))

    def write(self, stream):
        for source in sorted(self._lines):
            lines = self._lines[source]
            functions = self._functions[source]
            print('SF:' + source, file=stream)
            for name, (line, _) in sorted(functions.items()):
                print(f'FN:{line},{name}', file=stream)
            for name, (_, count) in sorted(functions.items()):
                print(f'FNDA:{count},{name}', file=stream)
            print(f'FNF:{len(functions)}', file=stream)
            print(f'FNH:{sum(1 for _, count in functions.values() if count)}', file=stream)
            for line in sorted(lines):
                print(f'DA:{line},{lines[line]}', file=stream)
            print(f'LF:{len(lines)}', file=stream)
            print(f'LH:{sum(1 for count in lines.values() if count)}', file=stream)
            print('end_of_record', file=stream)


def read_renames(path):
    """Reads lines `path as compiled:path in the tree`, for headers seen through include_prefix."""
    renames = {}
    if path and os.path.exists(path):
        with open(path, encoding='utf-8') as stream:
            for text in stream:
                reported, _, actual = text.strip().partition(':')
                if actual:
                    renames[reported] = actual
    return renames


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--coverage_dir')
    parser.add_argument('--reports_file')
    parser.add_argument('--output_file', required=True)
    parser.add_argument('--filter_sources', action='append', default=[])
    parser.add_argument('--source_file_manifest')
    parser.add_argument('--sources_to_replace_file')
    arguments = parser.parse_args()

    merger = Merger(arguments.filter_sources, read_renames(arguments.sources_to_replace_file))
    if arguments.coverage_dir:
        pattern = os.path.join(arguments.coverage_dir, '**', '*.gcov.json.gz')
        for path in sorted(glob.glob(pattern, recursive=True)):
            merger.read_gcov(path)
    if arguments.reports_file:
        with open(arguments.reports_file, encoding='utf-8') as stream:
            for path in stream.read().split():
                if os.path.exists(path):
                    merger.read_lcov(path)
    with open(arguments.output_file, 'w', encoding='utf-8') as stream:
        merger.write(stream)
    return 0


if __name__ == '__main__':
    sys.exit(main())

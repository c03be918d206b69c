#!/usr/bin/env python3
"""Breaks every rule once, in a small tree of its own, and checks what check_layering.py says."""

import json
import os
import sys
import tempfile
import unittest

import check_layering

RULES = {}

SOUND = {
    'ring': 'agentos_cc_library(name = "types", deps = ["@com_google_absl//absl/strings"])',
    'executor': 'agentos_cc_library(name = "kernel_ring", deps = ["//ring:types", "@liburing"])',
    'manager': 'agentos_cc_library(name = "manager", deps = ["//executor:kernel_ring"])',
    'testing': 'agentos_cc_library(name = "fake", testonly = True, deps = ["@com_google_googletest//:gtest"])',
    '': 'agentos_cc_library(name = "agentos_uring", deps = ["//manager"])',
    'examples': 'agentos_cc_binary(name = "tour", deps = ["//:agentos_uring"])',
    'benchmarks': 'agentos_cc_benchmark(name = "nop", srcs = [], deps = ["//:agentos_uring", "@liburing"])',
}


def problems(**changes):
    with tempfile.TemporaryDirectory() as root:
        workspace = os.path.join(root, 'WORKSPACE')
        open(workspace, 'w').close()
        for package, text in {**SOUND, **changes}.items():
            os.makedirs(os.path.join(root, package), exist_ok=True)
            with open(os.path.join(root, package, 'BUILD'), 'w', encoding='utf-8') as stream:
                stream.write(text)
        checker = check_layering.Checker(RULES, check_layering.read_tree(workspace))
        checker.check()
        return checker.problems


class LayeringTest(unittest.TestCase):

    def assert_broken(self, rule, edge, **changes):
        found = problems(**changes)
        self.assertTrue(any(edge in problem and f'"{rule}"' in problem for problem in found), found)

    def test_sound_tree(self):
        self.assertEqual(problems(), [])

    def test_lower_names_upper(self):
        self.assert_broken('layers', '//ring:types -> //executor:kernel_ring',
                           ring='agentos_cc_library(name = "types", deps = ["//executor:kernel_ring"])')
        self.assert_broken('layers', '//executor:a -> //manager:manager',
                           executor='agentos_cc_library(name = "a", deps = ["//manager"])')

    def test_a_test_is_bound_as_well(self):
        self.assert_broken('layers', '//ring:types_test -> //manager:manager',
                           ring='agentos_cc_test(name = "types_test", deps = ["//manager"])')

    def test_testing_names_the_executor_and_no_more(self):
        self.assertEqual(problems(testing='agentos_cc_library(name = "fake", testonly = True, deps = ["//executor:a"])'), [])
        self.assert_broken('layers', '//testing:fake -> //manager:manager',
                           testing='agentos_cc_library(name = "fake", testonly = True, deps = ["//manager"])')

    def test_dependencies_behind_select_and_names(self):
        self.assert_broken('layers', '//ring:types -> //manager:manager',
                           ring='A = ["//manager"]\nagentos_cc_library(name = "types", deps = select({"x": A}))')

    def test_leaf_is_named(self):
        self.assert_broken('leaves', '//manager:manager -> //examples:tour',
                           manager='agentos_cc_library(name = "manager", data = ["//examples:tour"])')

    def test_second_user_of_liburing(self):
        self.assert_broken('sole_users', '//manager:manager -> @liburing//:liburing',
                           manager='agentos_cc_library(name = "manager", deps = ["@liburing//:liburing"])')

    def test_library_names_a_peer(self):
        for peer in ('@asio//:asio', '@libuv//:libuv'):
            self.assert_broken('sole_users', f'//manager:manager -> {peer}',
                               manager=f'agentos_cc_library(name = "manager", testonly = True, deps = ["{peer}"])')

    def test_ring_reaches_libraries(self):
        for place in ('@com_google_protobuf', '@com_github_google_glog'):
            text = ('agentos_cc_library(name = "types", deps = [":inner"])\n'
                    f'agentos_cc_library(name = "inner", deps = ["{place}//:x"])')
            self.assert_broken('unreachable', f'//ring:types -> //ring:inner -> {place}//:x', ring=text)

    def test_executor_reaches_protobuf(self):
        self.assert_broken('unreachable', '//executor:kernel_ring -> @com_google_protobuf//:protobuf',
                           executor='agentos_cc_library(name = "kernel_ring", deps = ["@com_google_protobuf//:protobuf"])')

    def test_library_reaches_test_code(self):
        for place in ('//testing:fake', '@com_google_googletest//:gtest', '@com_github_google_benchmark//:benchmark'):
            self.assert_broken('unreachable', f'//:agentos_uring -> //manager:manager -> {place}',
                               manager=f'agentos_cc_library(name = "manager", deps = ["{place}"])')

    def test_library_reaches_the_simulated_ring(self):
        self.assertEqual(problems(testing='agentos_cc_library(name = "simulated_ring", deps = ["//executor:a"])',
                                  tools='agentos_cc_library(name = "tool", deps = ["//testing:simulated_ring"])'), [])

    def test_query_output(self):
        with tempfile.NamedTemporaryFile('w', suffix='.xml') as stream:
            stream.write('<?xml version="1.1"?><query><rule class="cc_library" name="//ring:types">'
                         '<rule-input name="//manager:manager"/></rule></query>')
            stream.flush()
            checker = check_layering.Checker(RULES, check_layering.read_query(stream.name))
        checker.check()
        self.assertIn('//ring:types -> //manager:manager', checker.problems[0])


if __name__ == '__main__':
    with open(sys.argv.pop(1), encoding='utf-8') as rules_file:
        RULES.update(json.load(rules_file))
    unittest.main()

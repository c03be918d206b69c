#!/usr/bin/env python3
"""Says which dependencies between our targets break which rule of rules.bzl.

usage: check_layering.py RULES.json --query FILE     the output of a genquery with --output=xml
       check_layering.py RULES.json --tree WORKSPACE every BUILD file beside and below that file

The two complement each other: a query knows what macros and selects expand to but only sees the
closure of the targets it names; the tree has every target there is, tests included.
"""

import ast
import json
import os
import sys
import xml.etree.ElementTree

LABEL_ATTRIBUTES = ('data', 'deps', 'hdrs', 'implementation_deps', 'srcs', 'tools')
IGNORED_DIRECTORIES = ('bazel-', '.')


class Target:

    def __init__(self, label, testonly, deps):
        self.label = label
        self.testonly = testonly
        self.deps = deps


def canonical(label, package=''):
    """Writes a label in full: @repository//package:name."""
    if label.startswith(':'):
        return f'//{package}{label}'
    if label.startswith('@') and '//' not in label:
        label += '//'
    repository, _, rest = label.partition('//')
    path, _, name = rest.partition(':')
    return f'{repository}//{path}:{name or path.rpartition("/")[2] or repository[1:]}'


def folder(label):
    """The top-level folder of one of our labels; None for another repository's."""
    return label[2:].partition(':')[0].partition('/')[0] if label.startswith('//') else None


def matches(label, place):
    """Whether a label is of the repository (@name) or of the folder (//name) that a rule names."""
    if place.startswith('@'):
        return label.startswith(place + '//')
    return folder(label) == place[2:]


def is_test(rule_class):
    return rule_class.endswith('_test') or rule_class.endswith('_benchmark')


def read_query(path):
    with open(path, encoding='utf-8') as stream:
        # Python's parser refuses the XML 1.1 that the declaration promises.
        text = stream.read().partition('?>')[2]
    targets = []
    for rule in xml.etree.ElementTree.fromstring(text).iter('rule'):
        label = canonical(rule.get('name'))
        if not label.startswith('//'):
            continue
        testonly = any(b.get('name') == 'testonly' and b.get('value') == 'true' for b in rule.iter('boolean'))
        deps = {canonical(item.get('name')) for item in rule.iter('rule-input')}
        targets.append(Target(label, testonly or is_test(rule.get('class')), deps))
    return targets


class BuildFile:
    """The targets of one BUILD file, whose language is a subset of Python's."""

    def __init__(self, path, package):
        self._path = path
        self._package = package
        with open(path, encoding='utf-8') as stream:
            self._tree = ast.parse(stream.read(), path)
        self._constants = {
            statement.targets[0].id: statement.value
            for statement in self._tree.body
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        }

    def _labels(self, node):
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                if part.value.startswith((':', '//', '@')):
                    yield canonical(part.value, self._package)
            elif isinstance(part, ast.Name) and part.id in self._constants:
                yield from self._labels(self._constants[part.id])

    def _default_testonly(self):
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'package':
                return any(k.arg == 'default_testonly' and getattr(k.value, 'value', 0) for k in node.keywords)
        return False

    def targets(self):
        default_testonly = self._default_testonly()
        for node in ast.walk(self._tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            arguments = {keyword.arg: keyword.value for keyword in node.keywords}
            if 'name' not in arguments:
                continue
            name = arguments['name']
            name = name.value if isinstance(name, ast.Constant) else ast.unparse(name)
            testonly = arguments.get('testonly')
            deps = set()
            for attribute in LABEL_ATTRIBUTES:
                if attribute in arguments:
                    deps.update(self._labels(arguments[attribute]))
            yield Target(f'//{self._package}:{name}',
                         is_test(node.func.id) or (testonly.value in (1, True) if testonly else default_testonly), deps)


def read_tree(workspace):
    # The test sees links; the tree is where they lead.
    root = os.path.dirname(os.path.realpath(workspace))
    targets = []
    for directory, children, files in os.walk(root):
        children[:] = sorted(child for child in children if not child.startswith(IGNORED_DIRECTORIES))
        if directory != root and ('WORKSPACE' in files or 'WORKSPACE.bazel' in files):
            children[:] = []
            continue
        for name in ('BUILD.bazel', 'BUILD'):
            if name in files:
                package = os.path.relpath(directory, root)
                targets.extend(BuildFile(os.path.join(directory, name), '' if package == '.' else package).targets())
                break
    return targets


class Checker:

    def __init__(self, rules, targets):
        self._rules = rules
        self._targets = {target.label: target for target in targets}
        self._level = {name: level for level, names in enumerate(rules['layers']) for name in names}
        self.problems = []

    def _report(self, edge, rule, why):
        self.problems.append(f'{edge}\n    breaks the rule "{rule}": {why}')

    def check(self):
        for target in sorted(self._targets.values(), key=lambda target: target.label):
            for dep in sorted(target.deps):
                self._check_edge(target, dep, folder(target.label), folder(dep))
            self._check_reach(target)

    def _check_edge(self, target, dep, source, destination):
        edge = f'{target.label} -> {dep}'
        rules = self._rules
        below = source in self._level and destination in self._level and self._level[source] < self._level[destination]
        if below and destination not in rules['also'].get(source, []):
            self._report(edge, 'layers', f'{source}/ is below {destination}/ and must not name it')
        is_leaf = destination in rules['leaves'] and destination not in rules['also'].get(source, [])
        if is_leaf and source != destination and not self._is_file(dep):
            self._report(edge, 'leaves', f'no other folder may name {destination}/')
        for place, users in rules['sole_users'].items():
            if matches(dep, place) and target.label not in users['targets'] and source not in users['folders']:
                allowed = ', '.join(users['targets'] + [f'{name}/' for name in users['folders']])
                self._report(edge, 'sole_users', f'only {allowed} may depend on {place} directly')

    def _is_file(self, label):
        """A label no rule has, of a package that has rules: an exported file, which brings no code along."""
        package = label.partition(':')[0]
        return label not in self._targets and any(known.startswith(package + ':') for known in self._targets)

    def _check_reach(self, target):
        forbidden = []
        if not target.testonly and folder(target.label) not in ('bazel', 'testing'):
            forbidden += [('code that is not testonly', place) for place in self._rules['unreachable']['*']]
        # A test brings its framework with it, and what that needs is not the folder's doing.
        if not target.testonly:
            here = folder(target.label)
            forbidden += [(f'{here}/', place) for place in self._rules['unreachable'].get(here, [])]
        for who, place in forbidden:
            path = self._path_to(target, place)
            if path:
                self._report(' -> '.join(path), 'unreachable', f'{who} must not reach {place}')

    def _path_to(self, target, place):
        """The shortest chain of labels from a target to a place, or None."""
        came_from = {target.label: None}
        queue = [target.label]
        while queue:
            label = queue.pop(0)
            if label != target.label and matches(label, place) and label not in self._rules['reachable']:
                path = []
                while label is not None:
                    path.append(label)
                    label = came_from[label]
                return path[::-1]
            for dep in sorted(self._targets[label].deps) if label in self._targets else []:
                if dep not in came_from:
                    came_from[dep] = label
                    queue.append(dep)
        return None


def main(arguments):
    if len(arguments) != 3 or arguments[1] not in ('--query', '--tree'):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    with open(arguments[0], encoding='utf-8') as stream:
        rules = json.load(stream)
    targets = (read_query if arguments[1] == '--query' else read_tree)(arguments[2])
    if not targets:
        print(f'check_layering.py: no targets in {arguments[2]}', file=sys.stderr)
        return 1
    checker = Checker(rules, targets)
    checker.check()
    for problem in checker.problems:
        print(problem, file=sys.stderr)
    if checker.problems:
        print(f'{len(checker.problems)} forbidden dependencies. The rules stand in bazel/layering/rules.bzl.', file=sys.stderr)
        return 1
    print(f'{len(targets)} targets keep the rules')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))

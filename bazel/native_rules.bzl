"""Stand-ins for rule repositories that hand out Bazel's native rules under the names of today.

BUILD files load from these repositories, as a newer Bazel requires. The rules_cc packaged beside the
Bazel 4.2 of Debian 12 calls a function that only Bazel 5.1 knows, and rules_shell is not packaged.
"""

def _native_rules_impl(ctx):
    ctx.file("WORKSPACE", 'workspace(name = "{}")\n'.format(ctx.name))
    ctx.file("BUILD", "")
    packages = {}
    for path, rules in ctx.attr.files.items():
        packages[path.rpartition("/")[0]] = None
        lines = ['"""Native rules of Bazel."""', ""] + ["{0} = native.{0}".format(rule) for rule in rules]
        ctx.file(path, "\n".join(lines + [""]))
    for package in packages:
        ctx.file(package + "/BUILD", "")

native_rules = repository_rule(
    implementation = _native_rules_impl,
    doc = "Generates a repository of .bzl files that re-export native rules.",
    attrs = {
        "files": attr.string_list_dict(
            mandatory = True,
            doc = "Path of a .bzl file -> names of the native rules it offers.",
        ),
    },
)

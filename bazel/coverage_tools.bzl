"""A stand-in for @remote_coverage_tools, which Bazel 4.2 would download for every test."""

_BUILD = """load("@rules_shell//shell:sh_binary.bzl", "sh_binary")

package(default_visibility = ["//visibility:public"])

sh_binary(
    name = "coverage_report_generator",
    srcs = ["lcov_merger.py"],
)

sh_binary(
    name = "lcov_merger",
    srcs = ["lcov_merger.py"],
)
"""

def _coverage_tools_impl(ctx):
    ctx.file("WORKSPACE", 'workspace(name = "{}")\n'.format(ctx.name))
    ctx.file("BUILD", _BUILD)
    ctx.symlink(ctx.attr._merger, "lcov_merger.py")

coverage_tools = repository_rule(
    implementation = _coverage_tools_impl,
    doc = "Offers the two tools that Bazel's coverage needs, as one Python script.",
    attrs = {
        "_merger": attr.label(
            allow_single_file = True,
            default = Label("//bazel:lcov_merger.py"),
        ),
    },
)

"""A stand-in for @rules_cc whose cc/defs.bzl hands out Bazel's native rules."""

_DEFS = '''"""Bazel's native C++ rules under the names of @rules_cc."""

# buildifier: disable=native-cc
cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
fdo_prefetch_hints = native.fdo_prefetch_hints
fdo_profile = native.fdo_profile
objc_import = native.objc_import
objc_library = native.objc_library
'''

def _native_rules_cc_impl(ctx):
    ctx.file("WORKSPACE", 'workspace(name = "{}")\n'.format(ctx.name))
    ctx.file("BUILD", "")
    ctx.file("cc/BUILD", 'exports_files(["defs.bzl"])\n')
    ctx.file("cc/defs.bzl", _DEFS)

native_rules_cc = repository_rule(
    implementation = _native_rules_cc_impl,
    doc = """Generates a @rules_cc that loads in the Bazel 4.2 of Debian 12.

The rules_cc packaged beside that Bazel calls a function which only Bazel 5.1 knows, so it does not
load there. BUILD files still load from @rules_cc, as a newer Bazel requires.""",
)

"""Protocol buffers of this repository, imported as agentos/<folder>/<file>.proto."""

load("@rules_cc//cc:defs.bzl", "cc_proto_library")
load("@rules_proto//proto:defs.bzl", "proto_library")

def agentos_proto_library(name, srcs, deps = [], visibility = None, **kwargs):
    """A proto_library <name> and its C++ code, the cc_proto_library <name with _cc before _proto>.

    The C++ header of proto/trace.proto is included as agentos/proto/trace.pb.h.

    Args:
      name: the target's name, which ends in _proto.
      srcs: the .proto files, all of this package.
      deps: proto_libraries that they import.
      visibility: of both targets; private by default.
      **kwargs: passed to both targets.
    """
    if not name.endswith("_proto"):
        fail("the name of an agentos_proto_library ends in _proto, unlike " + repr(name))
    package = native.package_name()
    proto_library(
        name = name,
        srcs = srcs,
        import_prefix = "agentos/" + package,
        strip_import_prefix = "/" + package,
        visibility = visibility or ["//visibility:private"],
        deps = deps,
        **kwargs
    )
    cc_proto_library(
        name = name[:-len("_proto")] + "_cc_proto",
        visibility = visibility or ["//visibility:private"],
        deps = [":" + name],
        **kwargs
    )

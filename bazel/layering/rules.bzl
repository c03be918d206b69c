"""Who may depend on whom, as data. check_layering.py says what each rule means when one is broken."""

# From bottom to top: a folder names those of its own line and of the lines before it, never one after it.
_LAYERS = [
    ["proto", "ring", "testing"],
    ["executor"],
    ["manager"],
    ["ipc"],
    ["handlers"],
    ["tools"],
]

# What a folder may name beyond that. The tests of executor/ stand on testing/, whose simulation of a ring stands on executor/'s seam:
# no target leads back to itself. Some examples are measured as the programs that they are.
_ALSO = {
    "benchmarks": ["examples"],
    "testing": ["executor"],
}

# Folders that no other one names.
_LEAVES = ["benchmarks", "examples"]

# Direct dependencies that only the targets named here may have. A benchmark is measured against
# liburing by hand, so it needs it as well. What it is also measured against is for the leaves alone.
_SOLE_USERS = {
    "@asio": {
        "folders": _LEAVES,
        "targets": [],
    },
    "@liburing": {
        "folders": ["benchmarks"],
        "targets": ["//executor:kernel_ring"],
    },
    "@libuv": {
        "folders": _LEAVES,
        "targets": [],
    },
}

# What code must not reach, however indirectly. "*" stands for everything that is not testonly.
_UNREACHABLE = {
    "*": [
        "//testing",
        "@com_github_google_benchmark",
        "@com_google_googletest",
    ],
    "executor": ["@com_google_protobuf"],
    "ring": [
        "@com_github_google_glog",
        "@com_google_protobuf",
        "@liburing",
    ],
}

LAYERING_RULES = {
    "layers": _LAYERS,
    "also": _ALSO,
    "leaves": _LEAVES,
    "sole_users": _SOLE_USERS,
    "unreachable": _UNREACHABLE,
    # What may be reached all the same: no test code, though it stands among it. trace_replay plays against it.
    "reachable": ["//testing:simulated_ring"],
}

def _layering_rules_impl(ctx):
    output = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.write(output, json.encode(LAYERING_RULES))
    return [DefaultInfo(files = depset([output]), runfiles = ctx.runfiles([output]))]

layering_rules = rule(
    implementation = _layering_rules_impl,
    doc = "Writes LAYERING_RULES as a JSON file, for the tests.",
)

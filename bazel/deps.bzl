"""The external repositories that agentos_uring needs.

Every repository is declared through maybe(): one that the consumer declared earlier wins.
"""

load("@bazel_tools//tools/build_defs/repo:utils.bzl", "maybe")
load(":coverage_tools.bzl", "coverage_tools")
load(":debian_rules.bzl", "debian_rules")
load(":native_rules.bzl", "native_rules")
load(":system_abseil.bzl", "system_abseil")
load(":system_library.bzl", "system_library")
load(":versions.bzl", "MINIMUM_VERSIONS")

def _bazel_rules():
    """What Bazel itself, or a rule of ours, would otherwise download."""
    maybe(
        native_rules,
        name = "rules_cc",
        files = {
            "cc/defs.bzl": [
                "cc_binary",
                "cc_import",
                "cc_library",
                "cc_proto_library",
                "cc_test",
                "cc_toolchain",
                "cc_toolchain_suite",
                "fdo_prefetch_hints",
                "fdo_profile",
                "objc_import",
                "objc_library",
            ],
        },
    )
    maybe(
        native_rules,
        name = "rules_shell",
        files = {
            "shell/sh_binary.bzl": ["sh_binary"],
            "shell/sh_library.bzl": ["sh_library"],
            "shell/sh_test.bzl": ["sh_test"],
        },
    )
    maybe(
        debian_rules,
        name = "rules_java",
        debian_package = "bazel-rules-java",
        path = "/usr/share/bazel/rules/java",
    )
    maybe(
        debian_rules,
        name = "rules_proto",
        debian_package = "bazel-rules-proto",
        path = "/usr/share/bazel/rules/proto",
    )
    maybe(
        debian_rules,
        name = "platforms",
        debian_package = "bazel-platforms",
        path = "/usr/share/bazel/tools/platforms",
    )
    maybe(
        debian_rules,
        name = "bazel_skylib",
        debian_package = "bazel-skylib",
        path = "/usr/share/bazel/tools/skylib",
    )
    maybe(coverage_tools, name = "remote_coverage_tools")

def agentos_uring_deps():
    """Declares what building agentos_uring needs, made from libraries installed on this system."""
    _bazel_rules()
    maybe(
        system_abseil,
        name = "com_google_absl",
        debian_packages = ["libabsl-dev"],
        minimum_version = MINIMUM_VERSIONS["absl_base"],
    )
    maybe(
        system_library,
        name = "com_google_protobuf",
        debian_packages = ["libprotobuf-dev", "protobuf-compiler"],
        extra_build_file = Label("//bazel:protobuf.BUILD"),
        links = {
            "google": "/usr/include/google",
            "protoc_binary": "/usr/bin/protoc",
        },
        minimum_version = MINIMUM_VERSIONS["protobuf"],
        module = "protobuf",
        targets = {
            "protobuf": "protobuf",
            "protobuf_lite": "protobuf-lite",
        },
    )
    maybe(
        system_library,
        name = "com_github_google_glog",
        debian_packages = ["libgoogle-glog-dev"],
        minimum_version = MINIMUM_VERSIONS["libglog"],
        module = "libglog",
        target_deps = {"glog": ["@com_github_gflags_gflags//:gflags"]},
        targets = {"glog": "libglog"},
    )
    maybe(
        system_library,
        name = "com_github_gflags_gflags",
        debian_packages = ["libgflags-dev"],
        minimum_version = MINIMUM_VERSIONS["gflags"],
        module = "gflags",
        targets = {"gflags": "gflags"},
    )
    maybe(
        system_library,
        name = "liburing",
        debian_packages = ["liburing-dev"],
        minimum_version = MINIMUM_VERSIONS["liburing"],
        module = "liburing",
        targets = {"liburing": "liburing"},
    )
    maybe(
        system_library,
        name = "zlib",
        debian_packages = ["zlib1g-dev"],
        minimum_version = MINIMUM_VERSIONS["zlib"],
        module = "zlib",
        targets = {"zlib": "zlib"},
    )

def agentos_uring_dev_deps():
    """Declares what only tests and benchmarks need, on top of agentos_uring_deps()."""
    maybe(
        system_library,
        name = "com_google_googletest",
        debian_packages = ["libgtest-dev", "libgmock-dev"],
        extra_linkopts = {"gtest_main": ["-lgmock_main"]},
        minimum_version = MINIMUM_VERSIONS["gmock"],
        module = "gmock",
        target_deps = {"gtest_main": [":gtest"]},
        targets = {
            "gtest": "gmock",
            "gtest_main": "",
        },
    )
    maybe(
        system_library,
        name = "com_github_google_benchmark",
        debian_packages = ["libbenchmark-dev"],
        extra_linkopts = {"benchmark_main": ["-lbenchmark_main"]},
        minimum_version = MINIMUM_VERSIONS["benchmark"],
        module = "benchmark",
        target_deps = {"benchmark_main": [":benchmark"]},
        targets = {
            "benchmark": "benchmark",
            "benchmark_main": "",
        },
    )

    # Peers that benchmarks are measured against.
    maybe(
        system_library,
        name = "libuv",
        debian_packages = ["libuv1-dev"],
        minimum_version = MINIMUM_VERSIONS["libuv"],
        module = "libuv",
        targets = {"libuv": "libuv"},
    )
    maybe(
        system_library,
        name = "asio",
        debian_packages = ["libasio-dev"],
        extra_defines = {"asio": ["ASIO_STANDALONE"]},
        extra_linkopts = {"asio": ["-pthread"]},
        header = "/usr/include/asio/version.hpp",
        targets = {"asio": ""},
    )

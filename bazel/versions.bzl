"""The one place for version numbers and for the names of Debian packages.

deps.bzl loads this file; bazelw, tools/format and the drift test read it as text, which is why
every entry of a dictionary stands on a line of its own as `"key": "value",`.
"""

# The oldest release of each library that this repository is built and tested with; older ones make
# the targets that need them fail with a message. Keys are names of pkg-config files.
MINIMUM_VERSIONS = {
    "absl_base": "20220623",
    "benchmark": "1.7.1",
    "gflags": "2.2.2",
    "gmock": "1.12.1",
    "libglog": "0.6.0",
    "liburing": "2.3",
    "libuv": "1.44.2",
    "protobuf": "3.21.12",
    "zlib": "1.2.13",
}

# What building and testing needs: the Debian package, and a file that is there once the package is.
# Testing for a file is what keeps bazelw below its 0.2 seconds.
BUILD_PACKAGES = {
    "bazel-bootstrap": "/usr/bin/bazel",
    "bazel-platforms": "/usr/share/bazel/tools/platforms/BUILD",
    "bazel-rules-java": "/usr/share/bazel/rules/java/WORKSPACE",
    "bazel-rules-proto": "/usr/share/bazel/rules/proto/WORKSPACE",
    "bazel-skylib": "/usr/share/bazel/tools/skylib/WORKSPACE",
    "chromium": "/usr/bin/chromium",
    "g++": "/usr/bin/g++",
    "git": "/usr/bin/git",
    "libabsl-dev": "/usr/include/absl/base/config.h",
    "libasio-dev": "/usr/include/asio/version.hpp",
    "libbenchmark-dev": "/usr/include/benchmark/benchmark.h",
    "libgflags-dev": "/usr/include/gflags/gflags.h",
    "libgmock-dev": "/usr/include/gmock/gmock.h",
    "libgoogle-glog-dev": "/usr/include/glog/logging.h",
    "libgtest-dev": "/usr/include/gtest/gtest.h",
    "libprotobuf-dev": "/usr/include/google/protobuf/message.h",
    "liburing-dev": "/usr/include/liburing.h",
    "libuv1-dev": "/usr/include/uv.h",
    "pkg-config": "/usr/bin/pkg-config",
    "protobuf-compiler": "/usr/bin/protoc",
    "python3": "/usr/bin/python3",
    "zlib1g-dev": "/usr/include/zlib.h",
}

# What only the format and lint checks need (tools/format).
FORMAT_PACKAGES = {
    "clang-format-14": "/usr/bin/clang-format-14",
    "npm": "/usr/bin/npm",
}

# Packages of npm's registry: name and exact version.
NPM_PACKAGES = {
    "@bazel/buildifier": "8.2.1",
}

"""C++ rules of this repository: C++20, warnings, and the include path agentos/<folder>/<file>.h.

The standard is set here, per target, because a consumer does not inherit our .bazelrc. That warnings
are errors is set in .bazelrc, because a consumer must never be broken by a warning of another compiler.
"""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")
load("@rules_shell//shell:sh_test.bzl", "sh_test")

_COPTS = [
    "-std=c++20",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wcast-qual",
    "-Wextra-semi",
    "-Wformat=2",
    "-Wimplicit-fallthrough",
    "-Wnon-virtual-dtor",
    "-Woverloaded-virtual",
    "-Wshadow",
    # Leaving out fields is what designated initializers are for.
    "-Wno-missing-field-initializers",
]

_COMPATIBLE_WITH = ["@platforms//os:linux"]

def _headers_alone_impl(ctx):
    sources = []
    for header in ctx.files.hdrs:
        name = "{}/{}/{}.cc".format(ctx.label.name, ctx.attr.prefix, header.basename)
        source = ctx.actions.declare_file(name)
        include = '#include "{}/{}"\n'.format(ctx.attr.prefix, header.short_path[len(ctx.attr.strip):])

        # Twice, so that a missing include guard shows as well.
        ctx.actions.write(source, include + include)
        sources.append(source)
    return [DefaultInfo(files = depset(sources))]

_headers_alone = rule(
    implementation = _headers_alone_impl,
    doc = "Writes one source file per header, which includes that header and nothing else.",
    attrs = {
        "hdrs": attr.label_list(
            allow_files = [".h"],
            doc = "The headers.",
        ),
        "prefix": attr.string(
            doc = "The folder under which the headers are included.",
        ),
        "strip": attr.string(
            doc = "The start of the headers' paths that prefix stands for.",
        ),
    },
)

def agentos_cc_library(name, hdrs = [], copts = [], deps = [], **kwargs):
    """A C++20 library whose headers are included as agentos/<folder>/<file>.h.

    Besides the library it makes the target <name>.headers_alone, which compiles every header by
    itself, so that one which leans on an include of its users does not build.

    Args:
      name: the target's name.
      hdrs: public headers, all of this package.
      copts: compiler options after ours.
      deps: libraries whose headers are used.
      **kwargs: passed to cc_library. Visibility defaults to private.
    """
    package = native.package_name()
    prefix = "agentos/" + package if package else "agentos"
    kwargs.setdefault("visibility", ["//visibility:private"])
    kwargs.setdefault("target_compatible_with", _COMPATIBLE_WITH)
    include_prefix = kwargs.pop("include_prefix", prefix)
    strip_include_prefix = kwargs.pop("strip_include_prefix", "/" + package)
    cc_library(
        name = name,
        hdrs = hdrs,
        copts = _COPTS + copts,
        include_prefix = include_prefix,
        strip_include_prefix = strip_include_prefix,
        deps = deps,
        **kwargs
    )
    if not hdrs:
        return
    headers_alone = name + ".headers_alone"
    _headers_alone(
        name = headers_alone + "_sources",
        testonly = True,
        hdrs = hdrs,
        prefix = include_prefix,
        strip = strip_include_prefix[1:] + "/" if strip_include_prefix != "/" else "",
        tags = ["manual"],
        visibility = ["//visibility:private"],
    )
    cc_library(
        name = headers_alone,
        testonly = True,
        srcs = [headers_alone + "_sources"],
        copts = _COPTS + copts,
        linkstatic = True,
        target_compatible_with = kwargs["target_compatible_with"],
        visibility = ["//visibility:private"],
        deps = [":" + name],
    )

def agentos_cc_test(name, copts = [], deps = [], **kwargs):
    """A C++20 test of GoogleTest, small unless it says otherwise.

    Args:
      name: the target's name.
      copts: compiler options after ours.
      deps: libraries; GoogleTest with its main function is added.
      **kwargs: passed to cc_test.
    """
    kwargs.setdefault("size", "small")
    kwargs.setdefault("target_compatible_with", _COMPATIBLE_WITH)
    gtest_main = "@com_google_googletest//:gtest_main"
    cc_test(
        name = name,
        copts = _COPTS + copts,
        deps = deps + ([] if gtest_main in deps else [gtest_main]),
        **kwargs
    )

def agentos_promise_test(name, **kwargs):
    """A test of what holds on every executor (P15): on io_uring, and as <name minus _test>_on_threads_test without it.

    Args:
      name: the target's name; ends with _test.
      **kwargs: passed to agentos_cc_test.
    """
    agentos_cc_test(name = name, **kwargs)
    sh_test(
        name = name[:-len("_test")] + "_on_threads_test",
        size = kwargs.get("size", "small"),
        srcs = ["//bazel:run_on_threads.sh"],
        args = ["$(rootpath :%s)" % name],
        data = [":" + name] + kwargs.get("data", []),
        tags = kwargs.get("tags", []),
        target_compatible_with = kwargs.get("target_compatible_with", _COMPATIBLE_WITH),
    )

def agentos_cc_binary(name, copts = [], **kwargs):
    """A C++20 program.

    Args:
      name: the target's name.
      copts: compiler options after ours.
      **kwargs: passed to cc_binary.
    """
    kwargs.setdefault("target_compatible_with", _COMPATIBLE_WITH)
    cc_binary(
        name = name,
        copts = _COPTS + copts,
        **kwargs
    )

def agentos_cc_fuzz_test(name, srcs, corpus, deps = [], **kwargs):
    """A fuzz target: what it does with its corpus is a test, and <name minus _test>er is the program of libFuzzer.

    The test goes through every file of the corpus, as it is and slightly damaged. The program needs clang: `tools/fuzz` builds and
    runs it, and `bazel build //...` leaves it out.

    Args:
      name: the target's name; ends with _fuzz_test.
      srcs: sources; LLVMFuzzerTestOneInput is in one of them.
      corpus: files, each an input.
      deps: libraries.
      **kwargs: passed to the test.
    """
    agentos_cc_test(
        name = name,
        srcs = srcs,
        args = ["$(rootpaths :%s_corpus)" % name],
        data = [":%s_corpus" % name],
        deps = deps + [
            "//testing:corpus_test",
            "@com_google_googletest//:gtest",
        ],
        **kwargs
    )
    native.filegroup(
        name = name + "_corpus",
        testonly = True,
        srcs = corpus,
    )
    agentos_cc_binary(
        name = name[:-len("_test")] + "er",
        testonly = True,
        srcs = srcs,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = deps,
    )

def agentos_cc_benchmark(name, srcs, copts = [], deps = [], smoke_args = [], **kwargs):
    """A program of Google Benchmark, with a test <name>_smoke that runs it for an instant.

    `bazel run -c opt :<name>` measures. The smoke test says that it runs, never how fast.

    Args:
      name: the target's name.
      srcs: sources; a main function is linked in.
      copts: compiler options after ours.
      deps: libraries; Google Benchmark is added.
      smoke_args: arguments of the smoke test after its own, such as a filter.
      **kwargs: passed to the program and to the test.
    """
    benchmark_main = "@com_github_google_benchmark//:benchmark_main"
    kwargs.setdefault("target_compatible_with", _COMPATIBLE_WITH)
    all_deps = deps + ([] if benchmark_main in deps else [benchmark_main])
    tags = kwargs.pop("tags", [])
    cc_binary(
        name = name,
        testonly = True,
        srcs = srcs,
        copts = _COPTS + copts,
        tags = tags,
        deps = all_deps,
        **kwargs
    )
    sh_test(
        name = name + "_smoke",
        size = "small",
        srcs = ["//bazel:run_benchmark_once.sh"],
        args = ["$(location :%s)" % name] + smoke_args,
        data = [":" + name] + kwargs.get("data", []),
        tags = tags + ["benchmark_smoke"],
        target_compatible_with = kwargs["target_compatible_with"],
    )

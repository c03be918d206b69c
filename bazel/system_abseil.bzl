"""Makes @com_google_absl, with upstream's fine-grained labels, from the system's Abseil."""

load(":system_library.bzl", "check_library", "missing_library_build", "pkg_config")

_HEADER = """# Written by system_abseil from the system's pkg-config data.
load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["{visibility}"])

licenses(["notice"])

"""

# Package -> its public targets. A target is made from the pkg-config file `absl_<name>`; where that
# file has another name it stands behind an equals sign.
_PUBLIC_TARGETS = {
    "algorithm": ["algorithm", "container=algorithm_container"],
    "base": [
        "base",
        "config",
        "core_headers",
        "dynamic_annotations",
        "log_severity",
    ],
    "cleanup": ["cleanup"],
    "container": [
        "btree",
        "fixed_array",
        "flat_hash_map",
        "flat_hash_set",
        "inlined_vector",
        "node_hash_map",
        "node_hash_set",
    ],
    "debugging": [
        "failure_signal_handler",
        "leak_check",
        "stacktrace",
        "symbolize",
    ],
    "flags": [
        "commandlineflag=flags_commandlineflag",
        "config=flags_config",
        "flag=flags",
        "marshalling=flags_marshalling",
        "parse=flags_parse",
        "reflection=flags_reflection",
        "usage=flags_usage",
    ],
    "functional": ["any_invocable", "bind_front", "function_ref"],
    "hash": ["hash"],
    "memory": ["memory"],
    "meta": ["type_traits"],
    "numeric": ["bits", "int128"],
    "random": [
        "bit_gen_ref=random_bit_gen_ref",
        "distributions=random_distributions",
        "random=random_random",
        "seed_gen_exception=random_seed_gen_exception",
        "seed_sequences=random_seed_sequences",
    ],
    "status": ["status", "statusor"],
    "strings": ["cord", "str_format", "strings"],
    "synchronization": ["synchronization"],
    "time": ["time"],
    "types": [
        "any",
        "bad_any_cast",
        "bad_optional_access",
        "bad_variant_access",
        "compare",
        "optional",
        "span",
        "variant",
    ],
    "utility": ["utility"],
}

def _field(text, key):
    for line in text.split("\n"):
        if line.startswith(key + ":"):
            return line[len(key) + 1:].strip()
    return ""

def _own_linkopts(libs):
    """The link options of one library, without search paths, which are the compiler's defaults."""
    return [word for word in libs.split(" ") if word and not word.startswith("-L")]

def _required_modules(requires):
    modules = []
    for clause in requires.split(","):
        words = clause.strip().split(" ")
        if words[0].startswith("absl_"):
            modules.append(words[0])
    return modules

def _module_target(ctx, name, directory):
    text = ctx.read(ctx.path("{}/absl_{}.pc".format(directory, name)))
    deps = [m[len("absl_"):] for m in _required_modules(_field(text, "Requires"))]
    return 'cc_library(\n    name = "{}",\n    linkopts = {},\n    deps = {},\n)\n\n'.format(
        name,
        repr(_own_linkopts(_field(text, "Libs"))),
        repr([":" + dep for dep in deps]),
    )

def _installed_modules(ctx, directory):
    names = []
    for path in ctx.path(directory).readdir():
        name = path.basename
        if name.startswith("absl_") and name.endswith(".pc"):
            names.append(name[len("absl_"):-len(".pc")])
    return sorted(names)

def _system_abseil_impl(ctx):
    ctx.file("WORKSPACE", 'workspace(name = "{}")\n'.format(ctx.name))
    ctx.file("BUILD", "")
    problem = check_library(ctx, "absl_base", ctx.attr.minimum_version)
    text = _HEADER.format(visibility = "//absl:__subpackages__")
    installed = []
    if problem:
        text += missing_library_build(ctx.name, problem, ctx.attr.debian_packages)
    else:
        directory = pkg_config(ctx, "--variable=pcfiledir", "absl_base").words[0]
        installed = _installed_modules(ctx, directory)
        for name in installed:
            text += _module_target(ctx, name, directory)
    ctx.file("installed/BUILD", text)

    for package, targets in _PUBLIC_TARGETS.items():
        text = _HEADER.format(visibility = "//visibility:public")
        for target in targets:
            name, _, module = target.partition("=")
            module = module or name
            text += 'alias(\n    name = "{}",\n    actual = "//installed:{}",\n)\n\n'.format(
                name,
                module if module in installed else "missing",
            )
        ctx.file("absl/{}/BUILD".format(package), text)

system_abseil = repository_rule(
    implementation = _system_abseil_impl,
    doc = """Makes the system's Abseil available as @com_google_absl//absl/<package>:<target>.

Each target links exactly its own library and depends on what its pkg-config file requires, so a
forgotten dependency shows as a link error here as it does with Abseil's own build.""",
    attrs = {
        "debian_packages": attr.string_list(
            mandatory = True,
            doc = "What to install when Abseil is missing; named in the error message.",
        ),
        "minimum_version": attr.string(
            doc = "The oldest release that will do.",
        ),
    },
    environ = ["PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR"],
    configure = True,
    local = True,
)

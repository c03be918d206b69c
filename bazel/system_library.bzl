"""Repositories made from the libraries installed on this system, found through pkg-config, or by a header.

A repository made here never fails while Bazel fetches it: `bazel query` and builds which do not use
the library go on working. When the library is missing or too old, its targets exist all the same and
fail when something that needs them is built, saying which package to install.
"""

_HEADER = """# Written by {rule} from the system's pkg-config data.
load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])

licenses(["notice"])

"""

# Compilers search these without being told. Passing them on would reorder that search, and
# Bazel would refuse the absolute path.
_DEFAULT_INCLUDE_DIRS = ["/usr/include", "/usr/local/include"]
_DEFAULT_LIBRARY_DIRS = ["/lib", "/usr/lib", "/usr/local/lib"]

def _is_default_library_dir(directory):
    for default in _DEFAULT_LIBRARY_DIRS:
        if directory == default or directory.startswith(default + "/") and directory.endswith("-linux-gnu"):
            return True
    return False

def _quoted(strings):
    return "[" + ", ".join([repr(s) for s in strings]) + "]"

def missing_library_build(repository, reason, packages):
    """Returns BUILD text with a cc_library `:missing` that fails, when built, with an explanation.

    Args:
      repository: name of the external repository, for the message.
      reason: what is wrong, as a clause.
      packages: Debian packages that would put it right.

    Returns:
      The text of the targets, to be put after the BUILD file's header.
    """
    message = ("@{repository} is not usable: {reason}. Install it with: apt-get install {packages}   " +
               "(./bazelw does it for you), then run: bazel shutdown").format(
        repository = repository,
        reason = reason,
        packages = " ".join(packages),
    )
    return """genrule(
    name = "missing_header",
    outs = ["missing_library.h"],
    cmd = "echo >&2 {message}; exit 1",
)

cc_library(
    name = "missing",
    hdrs = [":missing_header"],
)
""".format(message = repr("ERROR: " + message).replace("\"", "'"))

def pkg_config(ctx, *arguments):
    """Runs pkg-config.

    Args:
      ctx: the repository context.
      *arguments: of pkg-config.

    Returns:
      A struct with `words` (None on failure) and `error` (None on success).
    """
    tool = ctx.which("pkg-config")
    if tool == None:
        return struct(words = None, error = "pkg-config is not installed")
    result = ctx.execute([tool] + list(arguments))
    if result.return_code != 0:
        lines = result.stderr.strip().split("\n")
        return struct(words = None, error = lines[-1].replace("'", "").replace("\"", ""))
    return struct(words = [w for w in result.stdout.strip().split(" ") if w], error = None)

def check_library(ctx, module, minimum_version):
    """Says why a library cannot be used.

    Args:
      ctx: the repository context.
      module: name of the library's pkg-config file.
      minimum_version: the oldest version that will do, or an empty string.

    Returns:
      None when all is well, otherwise a clause fit for missing_library_build.
    """
    found = pkg_config(ctx, "--modversion", module)
    if found.error:
        return "pkg-config does not find {} ({})".format(module, found.error)
    if minimum_version and pkg_config(ctx, "--atleast-version=" + minimum_version, module).error:
        return "{} is installed in version {}, and {} is the oldest that will do".format(
            module,
            found.words[0],
            minimum_version,
        )
    return None

def _unquoted(word):
    return word.replace("\\", "")

def _flags(ctx, module):
    includes, defines, linkopts = [], [], []
    for word in pkg_config(ctx, "--cflags", module).words or []:
        if word.startswith("-I"):
            directory = _unquoted(word[2:])
            if directory not in _DEFAULT_INCLUDE_DIRS:
                includes.append(directory)
        elif word.startswith("-D"):
            defines.append(_unquoted(word[2:]))
    for word in pkg_config(ctx, "--libs", module).words or []:
        if word.startswith("-L"):
            directory = _unquoted(word[2:])
            if not _is_default_library_dir(directory):
                linkopts.extend([word, "-Wl,-rpath," + directory])
        else:
            linkopts.append(word)
    return struct(includes = includes, defines = defines, linkopts = linkopts)

def _library_target(ctx, name, module, defines, linkopts, deps):
    flags = _flags(ctx, module) if module else struct(includes = [], defines = [], linkopts = [])
    roots = []
    for directory in flags.includes:
        # Linked into the repository so that consumers see a path inside it, never an absolute one.
        root = "include/{}_{}".format(name, len(roots))
        ctx.symlink(directory, root)
        roots.append(root)
    lines = ["cc_library(", "    name = {},".format(repr(name))]
    if roots:
        lines.append("    hdrs = glob({}),".format(_quoted([root + "/**" for root in roots])))
        lines.append("    includes = {},".format(_quoted(roots)))
    if defines + flags.defines:
        lines.append("    defines = {},".format(_quoted(defines + flags.defines)))
    if linkopts + flags.linkopts:
        lines.append("    linkopts = {},".format(_quoted(linkopts + flags.linkopts)))
    if deps:
        lines.append("    deps = {},".format(_quoted(deps)))
    return "\n".join(lines + [")", ""])

def _system_library_impl(ctx):
    ctx.file("WORKSPACE", 'workspace(name = "{}")\n'.format(ctx.name))
    text = _HEADER.format(rule = "system_library")
    if ctx.attr.module:
        problem = check_library(ctx, ctx.attr.module, ctx.attr.minimum_version)
    else:
        problem = None if ctx.path(ctx.attr.header).exists else "there is no " + ctx.attr.header
    if problem:
        text += missing_library_build(ctx.name, problem, ctx.attr.debian_packages)
        for name in ctx.attr.targets:
            text += 'alias(name = "{}", actual = ":missing")\n'.format(name)
    else:
        for name, module in ctx.attr.targets.items():
            text += _library_target(
                ctx,
                name,
                module = module,
                defines = ctx.attr.extra_defines.get(name, []),
                linkopts = ctx.attr.extra_linkopts.get(name, []),
                deps = ctx.attr.target_deps.get(name, []),
            )
    if ctx.attr.extra_build_file:
        text += ctx.read(ctx.attr.extra_build_file)
    for path, directory in ctx.attr.links.items():
        if ctx.path(directory).exists:
            ctx.symlink(directory, path)
    ctx.file("BUILD", text)

system_library = repository_rule(
    implementation = _system_library_impl,
    doc = "Makes an installed library available under the labels its upstream Bazel build uses.",
    attrs = {
        "debian_packages": attr.string_list(
            mandatory = True,
            doc = "What to install when the library is missing; named in the error message.",
        ),
        "extra_build_file": attr.label(
            allow_single_file = True,
            doc = "A file whose text is appended to the generated BUILD file.",
        ),
        "extra_defines": attr.string_list_dict(
            doc = "Target name -> preprocessor definitions put before those of pkg-config.",
        ),
        "extra_linkopts": attr.string_list_dict(
            doc = "Target name -> link options put before those of pkg-config.",
        ),
        "header": attr.string(
            doc = "Absolute path of a header that says whether the library is there, for one that pkg-config does not know.",
        ),
        "links": attr.string_dict(
            doc = "Path inside the repository -> absolute path to link there when it exists.",
        ),
        "minimum_version": attr.string(
            doc = "The oldest version that will do.",
        ),
        "module": attr.string(
            doc = "The pkg-config file that says whether the library is there, and its version; empty where a header says it.",
        ),
        "target_deps": attr.string_list_dict(
            doc = "Target name -> labels it depends on.",
        ),
        "targets": attr.string_dict(
            mandatory = True,
            doc = "Target name -> pkg-config file with its flags; empty for a target without any.",
        ),
    },
    environ = ["PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR"],
    configure = True,
    local = True,
)

"""Repositories made from the rule sets that Debian packages for its Bazel."""

def _debian_rules_impl(ctx):
    root = ctx.path(ctx.attr.path)
    if not root.exists:
        fail(("@{repo} is made from {path}, which does not exist. Install it with: " +
              "apt-get install {package}   (./bazelw does it for you)").format(
            repo = ctx.name,
            path = ctx.attr.path,
            package = ctx.attr.debian_package,
        ))
    for entry in root.readdir():
        ctx.symlink(entry, entry.basename)

debian_rules = repository_rule(
    implementation = _debian_rules_impl,
    doc = """Links a directory installed by a Debian package as an external repository.

A plain local_repository would answer a missing directory with a message about WORKSPACE files;
this one names the package to install.""",
    attrs = {
        "debian_package": attr.string(
            mandatory = True,
            doc = "The package that installs the directory.",
        ),
        "path": attr.string(
            mandatory = True,
            doc = "The absolute path of the directory.",
        ),
    },
    local = True,
)

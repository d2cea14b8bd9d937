"""What Debian's Bazel would download: its own rules, taken from Debian's packages instead.

Debian's bazel-bootstrap reports no version. Any other Bazel brings these repositories itself and is left alone.
"""

# Debian's bazel-rules-cc needs a newer Bazel than Debian's, so @rules_cc hands on the native rules.
_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_shared_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
    "fdo_prefetch_hints",
    "fdo_profile",
    "objc_library",
]

# Asked for by every `bazel test`, used only by `bazel coverage`.
_COVERAGE_TOOLS = """
package(default_visibility = ["//visibility:public"])

filegroup(name = "coverage_report_generator")

filegroup(name = "lcov_merger")
"""

# Debian package and its directory, by repository.
_DEBIAN_RULES = {
    "bazel_skylib": ("bazel-skylib", "/usr/share/bazel/tools/skylib"),
    "platforms": ("bazel-platforms", "/usr/share/bazel/tools/platforms"),
    "rules_java": ("bazel-rules-java", "/usr/share/bazel/rules/java"),
    "rules_proto": ("bazel-rules-proto", "/usr/share/bazel/rules/proto"),
}

def _generated_impl(rctx):
    for path, content in rctx.attr.files.items():
        rctx.file(path, content)

_generated = repository_rule(
    implementation = _generated_impl,
    doc = "A repository whose files are written out here.",
    attrs = {"files": attr.string_dict(mandatory = True)},
)

def _debian_rules_impl(rctx):
    source = rctx.path(rctx.attr.directory)
    if not source.exists:
        fail("\n\n@%s is to come from Debian, but there is no %s.\nsudo apt-get install %s (./bazelw does that).\n" %
             (rctx.name, source, rctx.attr.debian_package))
    for entry in source.readdir():
        if entry.basename != "WORKSPACE":
            rctx.symlink(entry, entry.basename)

_debian_rules = repository_rule(
    implementation = _debian_rules_impl,
    doc = "A repository that shows a directory of a Debian package.",
    attrs = {
        "debian_package": attr.string(mandatory = True),
        "directory": attr.string(mandatory = True),
    },
    local = True,
)

def debian_bazel_repositories():
    """Defines Bazel's own rule repositories if this is Debian's Bazel and the workspace has not."""
    if getattr(native, "bazel_version", ""):
        return
    if not native.existing_rule("rules_cc"):
        lines = ["%s = getattr(native, \"%s\", None)" % (rule, rule) for rule in _CC_RULES]
        _generated(
            name = "rules_cc",
            files = {
                "BUILD.bazel": "",
                "cc/BUILD.bazel": "",
                "cc/defs.bzl": "\n".join(lines) + "\n",
            },
        )
    if not native.existing_rule("remote_coverage_tools"):
        _generated(name = "remote_coverage_tools", files = {"BUILD.bazel": _COVERAGE_TOOLS})
    for name, (debian_package, directory) in _DEBIAN_RULES.items():
        if not native.existing_rule(name):
            _debian_rules(name = name, debian_package = debian_package, directory = directory)

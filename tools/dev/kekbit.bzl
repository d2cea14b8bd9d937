"""Macros for the targets of this repository: kekbit_library, kekbit_binary, kekbit_test.

Each target is named after its file: NAME.h and NAME.cc, as far as they are there, need not be listed. Abseil need not be
listed either. Headers of replication/ and codecs/ are included as kekbit/replication/... and kekbit/codecs/..., in this
repository as in one that embeds it, so that no header of an embedding service can stand in the place of one of these.
"""

# Who sees a room of replication/: what is built on journals.
OF_REPLICATION = [
    "//bench:__subpackages__",
    "//examples:__subpackages__",
    "//replication:__subpackages__",
    "//tests:__subpackages__",
    "//tools:__subpackages__",
]

# Who sees channels, codecs and the front door of replication/: this repository, and no embedding one.
ANYWHERE_HERE = OF_REPLICATION + [
    "//codecs:__subpackages__",
    "//kekbit:__subpackages__",
]

_ABSL = ["//third_party:absl"]

# Directories at the top whose headers get kekbit/ before their path.
_PREFIXED = ["codecs", "replication"]

def _include_prefix(package):
    if package.split("/")[0] not in _PREFIXED:
        return {}
    return {"include_prefix": "kekbit/" + package, "strip_include_prefix": "/" + package}

def kekbit_library(name, srcs = None, hdrs = None, deps = [], public = False, **kwargs):
    """A library of NAME.h and NAME.cc. `public`: an embedding service may name it; others are this repository's own."""
    if public:
        kwargs["visibility"] = ["//visibility:public"]
    native.cc_library(
        name = name,
        srcs = native.glob([name + ".cc"], allow_empty = True) if srcs == None else srcs,
        hdrs = native.glob([name + ".h"], allow_empty = True) if hdrs == None else hdrs,
        deps = deps + _ABSL,
        **dict(_include_prefix(native.package_name()), **kwargs)
    )

def kekbit_binary(name, srcs = None, deps = [], **kwargs):
    """A program whose main() stands in NAME.cc."""
    native.cc_binary(
        name = name,
        srcs = srcs or [name + ".cc"],
        deps = deps + _ABSL,
        **kwargs
    )

def kekbit_test(name, srcs = None, deps = [], size = "small", threads = False, tags = [], **kwargs):
    """A GoogleTest test in NAME.cc. `threads`: its subject has threads or shares memory; it runs under ThreadSanitizer."""
    native.cc_test(
        name = name,
        size = size,
        srcs = srcs or [name + ".cc"],
        tags = tags + (["threads"] if threads else []),
        deps = deps + _ABSL + ["@com_google_googletest//:gtest_main"],
        **kwargs
    )

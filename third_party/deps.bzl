"""Defines the external repositories that kekbit's targets name.

A workspace that embeds kekbit calls kekbit_dependencies() after its own definitions. Whatever it has defined by then, from
source or otherwise, is what kekbit builds against; the rest is taken from the system, where tools/dev/packages.txt put it.
"""

load("//third_party:absl.bzl", "ABSL_TARGETS")
load("//third_party:debian_bazel.bzl", "debian_bazel_repositories")
load("//third_party:system_library.bzl", "system_library")

def _system_library(name, **kwargs):
    if not native.existing_rule(name):
        system_library(name = name, **kwargs)

def kekbit_dependencies():
    """Defines each repository that the calling workspace has not defined itself."""
    debian_bazel_repositories()

    _system_library(
        name = "com_google_absl",
        debian_package = "libabsl-dev",
        header = "absl/base/config.h",
        targets = ABSL_TARGETS,
    )
    _system_library(
        name = "cereal",
        debian_package = "libcereal-dev",
        header = "cereal/cereal.hpp",
        targets = {"//:cereal": ""},
    )
    _system_library(
        name = "zstd",
        debian_package = "libzstd-dev",
        header = "zstd.h",
        targets = {"//:zstd": "libzstd"},
    )

    # What an archive in S3 takes.
    _system_library(
        name = "curl",
        debian_package = "libcurl4-openssl-dev",
        header = "curl/curl.h",
        targets = {"//:curl": "libcurl"},
    )
    _system_library(
        name = "pugixml",
        debian_package = "libpugixml-dev",
        header = "pugixml.hpp",
        targets = {"//:pugixml": "pugixml"},
    )

    # Below here: only what tests, benchmarks and command line tools use. Nothing is fetched that no target asks for.
    _system_library(
        name = "com_google_googletest",
        debian_package = "libgmock-dev",
        header = "gmock/gmock.h",
        targets = {
            "//:gtest": "gmock",
            "//:gtest_main": "gmock_main",
        },
    )
    _system_library(
        name = "com_github_google_benchmark",
        debian_package = "libbenchmark-dev",
        header = "benchmark/benchmark.h",
        targets = {
            "//:benchmark": "benchmark",
            "//:benchmark_main": "-lbenchmark_main benchmark",
        },
    )
    _system_library(
        name = "cli11",
        debian_package = "libcli11-dev",
        header = "CLI/CLI.hpp",
        targets = {"//:cli11": "CLI11"},
    )

"""kekbit_fuzz_test: one target that is a test without --config=fuzz and a libFuzzer binary with it."""

def kekbit_fuzz_test(name, srcs, deps = [], corpus = [], tags = [], **kwargs):
    """A fuzz target: a source that defines LLVMFuzzerTestOneInput(const uint8_t* data, size_t size).

    Without --config=fuzz it is a plain test that replays the corpus, under whatever compiler and sanitizer are on. With it,
    it is linked with libFuzzer: `bazel test` replays the corpus, and the binary itself explores:

        bazel build --config=fuzz //tests/fuzz:header_fuzz && bazel-bin/tests/fuzz/header_fuzz -max_total_time=60 /tmp/corpus

    Args:
      name: the target's name, by convention ending in _fuzz.
      srcs: its sources.
      deps: what they need.
      corpus: input files, each replayed by the test, where inputs that once failed belong. By convention
        glob(["corpus/NAME/*"]), which is where .ci/run looks for them.
      tags: as for cc_test; "fuzz" comes on top.
      **kwargs: as for cc_test.
    """
    native.cc_test(
        name = name,
        srcs = srcs,
        # libFuzzer makes a corpus directory of no argument an endless run: so its test always has a file to replay.
        args = ["$(location %s)" % file for file in corpus + [_EMPTY_INPUT]],
        data = corpus + [_EMPTY_INPUT],
        linkopts = select({
            _FUZZING: ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        linkstatic = True,
        tags = tags + ["fuzz"],
        deps = deps + ["//third_party:absl"] + select({
            _FUZZING: [],
            "//conditions:default": ["//tests/support:fuzz_main"],
        }),
        **kwargs
    )

_FUZZING = "//tools/dev:fuzzing"
_EMPTY_INPUT = "//tests/support:empty_fuzz_input"

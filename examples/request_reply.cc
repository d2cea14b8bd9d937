// request_reply has a server and a client with two channels between them. It shows how long an
// answer takes when both sleep while they wait.
//
//   bazel run -c opt //examples:request_reply -- serve      answers one client: its request in
//                                                           capital letters
//   bazel run -c opt //examples:request_reply -- call       in another terminal; prints the round
//                                                           trip times

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "examples/channel_example.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/callers_directory.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/file_system.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/blocking_reader.h"
#include "kekbit/header.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"

namespace kekbit::examples {
namespace {

struct Options {
  std::string directory = DefaultDirectory();
  uint64_t count = 10'000;

  std::string requests() const { return JoinPath(directory, "requests.kekbit"); }
  std::string replies() const { return JoinPath(directory, "replies.kekbit"); }
};

// Returns the next payload, or nullopt when the channel is closed. Cancelled after Ctrl-C, DataLoss
// if its writer died.
absl::StatusOr<std::optional<Bytes>> Await(BlockingReader& reader) {
  while (!Interrupt::requested()) {
    if (const std::optional<Bytes> payload = reader.Read(kLookEvery)) return payload;
    if (reader.abandoned()) return absl::DataLossError(absl::StrCat(reader.reader().path(), ": its writer died"));
    KB_RETURN_IF_ERROR(reader.reader().status());
    if (reader.reader().exhausted()) return std::nullopt;
  }
  return absl::CancelledError("interrupted");
}

absl::Status Serve(const Options& options) {
  KB_ASSIGN_OR_RETURN(const Header header, Header::Make({.channel_id = 2}));
  KB_ASSIGN_OR_RETURN(ShmWriter replies, CreateAnew(options.replies(), header));
  std::cerr << "waiting for a client in " << options.directory << '\n';
  KB_ASSIGN_OR_RETURN(ShmReader opened, AwaitLive(options.requests()));
  BlockingReader requests(std::move(opened));
  for (uint64_t answered = 0;; ++answered) {
    KB_ASSIGN_OR_RETURN(const std::optional<Bytes> request, Await(requests));
    if (!request) {
      std::cerr << "answered " << answered << " requests\n";
      return absl::OkStatus();
    }
    // Write straight into the mapping: the answer needs no copy of its own.
    KB_ASSIGN_OR_RETURN(const MutableBytes reply, replies.Claim(request->size()));
    std::transform(request->begin(), request->end(), reply.begin(),
                   [](uint8_t c) { return static_cast<uint8_t>(absl::ascii_toupper(c)); });
    replies.Publish(reply.size());
  }
}

absl::Status Call(const Options& options) {
  KB_ASSIGN_OR_RETURN(const Header header, Header::Make({.channel_id = 1}));
  KB_ASSIGN_OR_RETURN(ShmWriter requests, CreateAnew(options.requests(), header));
  KB_ASSIGN_OR_RETURN(ShmReader opened, AwaitLive(options.replies()));
  BlockingReader replies(std::move(opened));
  std::vector<int64_t> times_ns;
  for (uint64_t i = 0; i < options.count; ++i) {
    const std::string request = absl::StrCat("request ", i, ": how long does this take?");
    const int64_t start = Clock::System().MonotonicNanos();
    KB_RETURN_IF_ERROR(requests.Write(AsBytes(request)).status());
    KB_ASSIGN_OR_RETURN(const std::optional<Bytes> reply, Await(replies));
    times_ns.push_back(Clock::System().MonotonicNanos() - start);
    if (!reply || AsText(*reply) != absl::AsciiStrToUpper(request)) {
      return absl::DataLossError(absl::StrCat("request ", i, " got the answer \"", reply ? AsText(*reply) : "", "\""));
    }
  }
  std::sort(times_ns.begin(), times_ns.end());
  const auto microseconds = [&](uint64_t percent) {
    return static_cast<double>(times_ns[(times_ns.size() - 1) * percent / 100]) / 1000;
  };
  std::cout << absl::StrFormat("%d round trips: p50 %.1f us, p99 %.1f us\n", times_ns.size(), microseconds(50),
                               microseconds(99));
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app("Measures round trips between two processes through two channels.", "request_reply");
  app.require_subcommand(1);
  app.fallthrough();  // options that all share may follow the subcommand
  Options options;
  app.add_option("-d,--directory", options.directory, "where the channels lie")->capture_default_str();
  const CLI::App* const serve = app.add_subcommand("serve", "answer the requests of one client");
  CLI::App* const call =
      app.add_subcommand("call", "send requests one after the other, each when the last is answered");
  call->add_option("-n,--count", options.count, "how many")->check(CLI::Range(1, 500'000))->capture_default_str();
  if (const std::optional<int> exit_code = ParseArguments(app, argc, argv)) return *exit_code;
  Interrupt::Catch();
  return ExitCode(serve->parsed() ? Serve(options) : Call(options));
}

}  // namespace
}  // namespace kekbit::examples

int main(int argc, char** argv) {
  kekbit::EnterCallersDirectory();
  return kekbit::examples::Main(argc, argv);
}

// echo shows a channel in its simplest form: a process writes its input, any number of others
// repeat it.
//
//   bazel run //examples:echo -- in      writes each line of standard input to the channel; Ctrl-D or
//                                        Ctrl-C closes the channel
//   bazel run //examples:echo -- out     in other terminals: prints each line, also those written
//                                        before, until the end

#include <CLI/CLI.hpp>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "examples/argument_checks.h"
#include "examples/channel_example.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/callers_directory.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/blocking_reader.h"
#include "kekbit/channel_file.h"
#include "kekbit/header.h"
#include "kekbit/shm_reader.h"
#include "kekbit/shm_writer.h"

namespace kekbit::examples {
namespace {

struct Options {
  std::string directory = DefaultDirectory();
  uint64_t channel = 1;
  double wait_seconds = 60;
};

absl::Status In(const Options& options) {
  Interrupt::Catch();
  KB_ASSIGN_OR_RETURN(const Header header, Header::Make({.channel_id = options.channel}));
  const std::string path = ChannelPath(options.directory, options.channel);
  KB_ASSIGN_OR_RETURN(ShmWriter writer, CreateAnew(path, header));
  std::cerr << "writing to " << writer.path() << '\n';
  LineReader lines;
  // Keep the line's end: an empty line is then a payload of one byte. A channel takes no payload
  // without bytes.
  while (const std::optional<std::string> line = lines.Next()) {
    KB_RETURN_IF_ERROR(writer.Write(AsBytes(*line)).status());
  }
  // The writer's destructor closes the channel: readers find its end.
  return absl::OkStatus();
}

absl::Status Out(const Options& options) {
  const std::string path = ChannelPath(options.directory, options.channel);
  const ReaderOptions wait{.open_timeout = absl::Seconds(options.wait_seconds)};
  KB_ASSIGN_OR_RETURN(ShmReader opened, ShmReader::OpenAt(path, wait));
  Interrupt::Catch();
  BlockingReader reader(std::move(opened));
  while (!Interrupt::requested()) {
    const std::optional<Bytes> payload = reader.Read(kLookEvery);
    if (payload) {
      std::cout << AsText(*payload) << std::flush;
    } else if (reader.abandoned()) {
      return absl::DataLossError(absl::StrCat(path, ": the writer is gone without having closed the channel"));
    } else if (reader.reader().exhausted()) {
      return reader.reader().status();
    }
  }
  return absl::CancelledError("interrupted");
}

int Main(int argc, char** argv) {
  CLI::App app("Writes lines to a channel, or prints the lines of a channel.", "echo");
  app.require_subcommand(1);
  app.fallthrough();  // options that all share may follow the subcommand
  Options options;
  app.add_option("-d,--directory", options.directory, "where the channel lies")->capture_default_str();
  app.add_option("-c,--channel", options.channel, "the channel's id")->check(CheckCount)->capture_default_str();
  const CLI::App* const in = app.add_subcommand("in", "write each line of standard input to a new channel");
  CLI::App* const out = app.add_subcommand("out", "print each line of the channel until it is closed");
  out->add_option("-w,--wait", options.wait_seconds, "seconds to wait for the channel to be there")
      ->check(CheckSeconds)
      ->capture_default_str();
  if (const std::optional<int> exit_code = ParseArguments(app, argc, argv)) return *exit_code;
  return ExitCode(in->parsed() ? In(options) : Out(options));
}

}  // namespace
}  // namespace kekbit::examples

int main(int argc, char** argv) {
  kekbit::EnterCallersDirectory();
  return kekbit::examples::Main(argc, argv);
}

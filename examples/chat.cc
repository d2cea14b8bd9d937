// chat connects two people in two terminals, a channel each way. Each process writes its own
// channel and reads the other's.
//
//   bazel run //examples:chat -- alice bob      in one terminal
//   bazel run //examples:chat -- bob alice      in another; Ctrl-D or Ctrl-C leaves

#include <CLI/CLI.hpp>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "examples/channel_example.h"
#include "kekbit/base/bytes.h"
#include "kekbit/base/callers_directory.h"
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
  std::string me;
  std::string other;
};

std::string PathOf(const Options& options, const std::string& from, const std::string& to) {
  return JoinPath(options.directory, absl::StrCat(from, "_to_", to, ".kekbit"));
}

void Say(const std::string& line) { std::cout << line << std::flush; }

// Prints what the other says, and when they come and go, until this process is to end.
absl::Status Listen(const Options& options) {
  const std::string path = PathOf(options, options.other, options.me);
  for (;;) {
    KB_ASSIGN_OR_RETURN(ShmReader opened, AwaitLive(path));
    BlockingReader reader(std::move(opened));
    Say(absl::StrCat("* ", options.other, " is here\n"));
    while (!reader.reader().exhausted() && !reader.abandoned()) {
      if (Interrupt::requested()) return absl::OkStatus();
      if (const std::optional<Bytes> payload = reader.Read(kLookEvery)) {
        Say(absl::StrCat(options.other, ": ", AsText(*payload)));
      }
    }
    KB_RETURN_IF_ERROR(reader.reader().status());
    Say(absl::StrCat("* ", options.other, reader.abandoned() ? " is gone\n" : " left\n"));
    // Whose channel is closed may still have it for a moment.
    for (bool there = true; there && !Interrupt::requested();) {
      KB_ASSIGN_OR_RETURN(there, reader.reader().WriterAlive());
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
}

absl::Status Chat(const Options& options) {
  Interrupt::Catch();
  KB_ASSIGN_OR_RETURN(const Header header, Header::Make({.capacity = 1u << 20}));
  KB_ASSIGN_OR_RETURN(ShmWriter writer, CreateAnew(PathOf(options, options.me, options.other), header));
  Say(absl::StrCat("* hello ", options.me, ", waiting for ", options.other, "\n"));
  absl::Status heard;
  std::thread listener([&] {
    heard = Listen(options);
    Interrupt::Request();
  });
  absl::Status said;
  LineReader lines;
  while (const std::optional<std::string> line = lines.Next()) {
    said = writer.Write(AsBytes(*line)).status();
    if (absl::IsInvalidArgument(said)) {
      std::cerr << "not sent: " << said.message() << '\n';
    } else if (!said.ok()) {
      break;
    }
  }
  Interrupt::Request();
  listener.join();
  if (!heard.ok() && !absl::IsCancelled(heard)) return heard;
  return absl::IsInvalidArgument(said) ? absl::OkStatus() : said;
}

std::string CheckName(const std::string& name) {
  for (const char c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c))) return "a name has letters and digits only";
  }
  return name.empty() ? "a name has at least one letter" : "";
}

int Main(int argc, char** argv) {
  CLI::App app("Talks to another person on this machine, who runs it with the names swapped.", "chat");
  Options options;
  app.add_option("me", options.me, "your name")->required()->check(CheckName);
  app.add_option("other", options.other, "the other's name")->required()->check(CheckName);
  app.add_option("-d,--directory", options.directory, "where the channels lie")->capture_default_str();
  if (const std::optional<int> exit_code = ParseArguments(app, argc, argv)) return *exit_code;
  return ExitCode(Chat(options));
}

}  // namespace
}  // namespace kekbit::examples

int main(int argc, char** argv) {
  kekbit::EnterCallersDirectory();
  return kekbit::examples::Main(argc, argv);
}

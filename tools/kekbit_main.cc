// kekbit: looks into channels, segments and journals.
//
//   bazel run //tools:kekbit -- dump PATH
//
// Exit codes: 0 done; 1 `verify` found damage; 2 wrong arguments, or PATH can't be read.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/kekbit_commands.h"
#include "tools/kekbit_output.h"

namespace kekbit {
namespace {

constexpr int kDamage = 1;
constexpr int kUnusable = 2;

using Command = absl::StatusOr<bool> (*)(const CommandOptions& options, Output& output);

int Run(Command command, const CommandOptions& options) {
  Output output;
  const absl::StatusOr<bool> sound = command(options, output);
  output.Flush();
  const absl::Status status = sound.ok() ? output.status() : sound.status();
  if (!status.ok()) {
    std::fprintf(stderr, "kekbit: %s\n", std::string(status.message()).c_str());
    return kUnusable;
  }
  return *sound ? 0 : kDamage;
}

int Main(int argc, char** argv) {
  CLI::App app("Looks into kekbit's channels, segments and journals, live or not, without changing them.", "kekbit");
  app.require_subcommand(1);
  app.footer("Exit codes: 0 done; 1 verify found damage; 2 wrong arguments, or PATH can't be read.\n");
  CommandOptions options;
  const auto add = [&](const char* name, const char* description) {
    CLI::App* const command = app.add_subcommand(name, description);
    command->add_option("PATH", options.path, "a channel file, or the directory of a journal")->required();
    command->add_flag("--json", options.json, "one JSON object a line");
    return command;
  };
  CLI::App* const dump = add("dump", "show everything that is there, in order");
  dump->add_option("--limit", options.limit, "show at most so many items")->check(CLI::NonNegativeNumber);
  dump->add_option("--from", options.from, "begin with the item at this offset in the data area")
      ->check(CLI::NonNegativeNumber);
  CLI::App* const tail = add("tail", "show the last items");
  tail->add_option("-n,--last", options.last, "so many of what is there already")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  tail->add_flag("-f,--follow", options.follow, "go on with what comes, until the channel is closed");
  const CLI::App* const stat = add("stat", "show the header, and what there is in sum");
  add("verify", "look for damage, and say where it is");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUnusable;
  }
  if (dump->parsed()) return Run(Dump, options);
  if (tail->parsed()) return Run(Tail, options);
  if (stat->parsed()) return Run(Stat, options);
  return Run(Verify, options);
}

}  // namespace
}  // namespace kekbit

int main(int argc, char** argv) { return kekbit::Main(argc, argv); }

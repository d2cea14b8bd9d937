// kekbit: looks into channels, segments and journals.
//
//   bazel run //tools:kekbit -- dump PATH
//
// Exit codes: see kExitCodes.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "kekbit/base/callers_directory.h"
#include "kekbit/replication/archive/open_store.h"
#include "kekbit/version.h"
#include "tools/kekbit_commands.h"
#include "tools/kekbit_output.h"

namespace kekbit {
namespace {

constexpr int kDamage = 1;
constexpr int kUnusable = 2;
constexpr int kNoPrimary = 3;
constexpr char kExitCodes[] =
    "Exit codes: 0 done, and all is well; 1 verify found damage, or repair has something left to do; 2 wrong "
    "arguments, "
    "or PATH can't be read; 3 stat, or top --once, of a journal that has no primary.\n";

// The release, as in CHANGELOG.md.
constexpr char kRelease[] = "0.1.0 (unreleased)";

// Descriptions of PATH.
constexpr char kAny[] = "a channel file, or the directory of a journal";
constexpr char kJournal[] = "the directory of a journal";
constexpr char kAnyOrArchive[] = "a channel file, the directory of a journal, or an archive";
constexpr char kArchive[] = "the archive: a directory, on another disk or a mounted share, or s3://BUCKET/PREFIX";

using Command = absl::StatusOr<bool> (*)(const CommandOptions& options, Output& output);

// `otherwise`: the exit code when the command says that not all is well.
int Run(Command command, const CommandOptions& options, int otherwise = kDamage) {
  Output output;
  const absl::StatusOr<bool> sound = command(options, output);
  output.Flush();
  const absl::Status status = sound.ok() ? output.status() : sound.status();
  if (!status.ok()) {
    std::fprintf(stderr, "kekbit: %s\n", std::string(status.message()).c_str());
    return kUnusable;
  }
  return *sound ? 0 : otherwise;
}

// Parse here: CLI11's own checks go by double and say so.
template <typename Number>
std::string CheckNumber(const std::string& text, Number least, Number most, const char* what) {
  Number number;
  bool parsed;
  if constexpr (std::is_same_v<Number, double>) {
    parsed = absl::SimpleAtod(text, &number);
  } else {
    parsed = absl::SimpleAtoi(text, &number);
  }
  return parsed && number >= least && number <= most ? "" : absl::StrCat("\"", text, "\" is not ", what);
}
std::string CheckCount(const std::string& text) {
  return CheckNumber<uint64_t>(text, 0, std::numeric_limits<uint64_t>::max(), "a number from 0 up");
}
std::string CheckInterval(const std::string& text) {
  return CheckNumber<double>(text, 0.01, 86400, "a number of seconds from 0.01 to 86400");
}

std::string CheckDays(const std::string& text) {
  return CheckNumber<double>(text, 0, 36500, "a number of days from 0 to 36500");
}

std::optional<int64_t> TimeOf(const std::string& text) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return std::nullopt;
  return absl::ToUnixNanos(time);
}
std::string CheckTime(const std::string& text) {
  return TimeOf(text) ? "" : absl::StrCat("\"", text, "\" is no time like 2026-01-31T23:59:59.5Z or ...+01:00");
}
std::optional<uint64_t> IncarnationOf(const std::string& text) {
  uint64_t incarnation = 0;
  if (!absl::SimpleHexAtoi(text, &incarnation)) return std::nullopt;
  return incarnation;
}
std::string CheckIncarnation(const std::string& text) {
  return IncarnationOf(text) ? "" : absl::StrCat("\"", text, "\" is no incarnation: hexadecimal digits");
}

// Shows what there is to choose from, if what was chosen does not exist.
int NoCommand(const CLI::App& app, int argc, char** argv) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  const std::string given = argc > 1 ? absl::StrCat("there is no subcommand \"", argv[1], "\"; ") : "";
  std::fprintf(stderr, "kekbit: %sit takes one of the subcommands %s; try kekbit --help\n", given.c_str(),
               absl::StrJoin(names, ", ").c_str());
  return kUnusable;
}

// One line, as every error of the command: CLI11's own have no name in front, and may have more
// lines.
int BadArguments(const CLI::App& app, const std::string& what) {
  const std::string command = app.get_subcommands().empty() ? "" : app.get_subcommands().front()->get_name();
  std::fprintf(stderr, "kekbit: %s; try kekbit %s%s--help\n", absl::StrReplaceAll(what, {{"\n", " "}}).c_str(),
               command.c_str(), command.empty() ? "" : " ");
  return kUnusable;
}

// What is parsed after CLI11 has checked it.
struct ArchiveArguments {
  std::string to_time;
  std::string incarnation;
  double keep_days = 0;
};

// Adds the commands about archives, and what `verify` takes for one.
void AddArchiveCommands(CLI::App& app, CLI::App* verify, CommandOptions& options, double& seconds,
                        ArchiveArguments& arguments) {
  CLI::App* const archive = app.add_subcommand("archive", "copy a journal and its snapshots off the host");
  archive->add_option("DIR", options.path, kJournal)->required();
  archive->add_option("TO", options.archive, kArchive)->required();
  archive->add_flag("-f,--follow", options.follow, "go on with what comes");
  archive->add_option("-i,--interval", seconds, "with --follow: seconds from one look to the next")
      ->check(CheckInterval)
      ->capture_default_str();
  archive->add_flag("--zstd", options.zstd, "compress the frames");
  archive
      ->add_option("--keep-snapshots", options.keep_snapshots,
                   "so many of the newest snapshots stay, two at least, with all frames since; 0: no limit")
      ->check(CheckCount)
      ->capture_default_str();
  archive->add_option("--keep-days", arguments.keep_days, "those of the last days stay, too; 0: no limit")
      ->check(CheckDays)
      ->capture_default_str();
  archive->add_flag("--dry-run", options.dry_run, "copy nothing; say what these two would let go");
  archive->add_option("--reader", options.reader, "the registered reader as which the journal is read")
      ->type_name("NAME")
      ->capture_default_str();
  archive->add_flag("--json", options.json, "one JSON object a line");
  CLI::App* const restore = app.add_subcommand("restore", "make a journal from an archive, as it was at some moment");
  restore->add_option("FROM", options.archive, kArchive)->required();
  restore->add_option("DIR", options.path, "the journal's directory, which is made")->required();
  CLI::Option* const to_seq = restore->add_option("--to-seq", options.to_seq, "up to the frame of this seq")
                                  ->type_name("SEQ")
                                  ->check(CheckCount);
  restore->add_option("--to-time", arguments.to_time, "up to the last frame that is not later, as 2026-01-31T23:59:59Z")
      ->type_name("TIME")
      ->excludes(to_seq)
      ->check(CheckTime);
  restore->add_flag("--json", options.json, "one JSON object a line");
  for (CLI::App* const command : {restore, verify}) {
    command
        ->add_option("--incarnation", arguments.incarnation,
                     "of an archive of several journals, not the one archived last")
        ->type_name("HEX")
        ->check(CheckIncarnation);
  }
}

int Main(int argc, char** argv) {
  CLI::App app("Looks into kekbit's channels, segments and journals, live or not, and changes them only if told to.",
               "kekbit");
  app.require_subcommand(1);
  app.set_version_flag("--version", absl::StrCat("kekbit ", kRelease, ", channel format ", kChannelVersion.ToString()));
  app.footer(kExitCodes);
  CommandOptions options;
  const auto add = [&](const char* name, const char* description, const char* path = kAny) {
    CLI::App* const command = app.add_subcommand(name, description);
    command->add_option("PATH", options.path, path)->required();
    command->add_flag("--json", options.json, "one JSON object a line");
    return command;
  };
  CLI::App* const dump = add("dump", "show everything that is there, in order");
  dump->add_option("--limit", options.limit, "show at most so many items")->check(CheckCount);
  dump->add_option("--from", options.from, "begin with the item at this offset in the data area")->check(CheckCount);
  CLI::App* const tail = add("tail", "show the last items");
  tail->add_option("-n,--last", options.last, "so many of what is there already")
      ->check(CheckCount)
      ->capture_default_str();
  tail->add_flag("-f,--follow", options.follow, "go on with what comes, until the channel is closed");
  CLI::App* const stat = add("stat", "show what there is in sum; of a journal, also how each replica is");
  stat->add_flag("--segments", options.segments, "of a journal: show each segment, too");
  CLI::App* const top = add("top", "of a journal: show how each replica is, again and again", kJournal);
  double seconds = 1;
  top->add_option("-i,--interval", seconds, "seconds from one look to the next")
      ->check(CheckInterval)
      ->capture_default_str();
  top->add_flag("--once", options.once, "look once");
  CLI::App* const cursors = add("cursors", "of a journal: show its registered readers", kJournal);
  cursors->add_option("--remove", options.remove, "end the registration of the reader of this name, which is gone")
      ->type_name("NAME");
  CLI::App* const repair =
      add("repair", "show what has to be done before a journal can go on; --apply does it", kJournal);
  repair->add_flag("--apply", options.apply, "do it: what is taken out is moved to PATH/aside, nothing is deleted");
  repair
      ->add_option("--lose-from", options.lose_from,
                   "end the journal before the frame of this seq: it is damaged, or no replica can apply it")
      ->type_name("SEQ")
      ->check(CheckCount);
  CLI::App* const verify = add("verify", "look for damage, and say where it is", kAnyOrArchive);
  ArchiveArguments of_archive;
  AddArchiveCommands(app, verify, options, seconds, of_archive);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (app.get_subcommands().empty() && error.get_exit_code() != 0) return NoCommand(app, argc, argv);
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return BadArguments(app, error.what());
  }
  options.interval = absl::Seconds(seconds);
  options.keep_for = absl::Hours(24) * of_archive.keep_days;
  if (!of_archive.to_time.empty()) options.to_time_ns = TimeOf(of_archive.to_time);
  if (!of_archive.incarnation.empty()) options.incarnation = IncarnationOf(of_archive.incarnation);
  // Files that repair makes are for the users of the journal's directory.
  if (const absl::StatusOr<FileInfo> info = options.file_system->Info(options.path); info.ok()) {
    options.file_system = &FileSystem::Posix(GroupAccessOf(*info));
  }
  if (dump->parsed()) return Run(Dump, options);
  if (tail->parsed()) return Run(Tail, options);
  if (stat->parsed()) return Run(Stat, options, kNoPrimary);
  if (top->parsed()) return Run(Top, options, kNoPrimary);
  if (cursors->parsed()) return Run(Cursors, options);
  if (repair->parsed()) return Run(Repair, options);
  if (app.got_subcommand("archive")) return Run(Archive, options);
  if (app.got_subcommand("restore")) return Run(RestoreArchive, options);
  if (IsArchive(*options.file_system, options.path)) return Run(VerifyOfArchive, options);
  return Run(Verify, options);
}

}  // namespace
}  // namespace kekbit

int main(int argc, char** argv) {
  kekbit::EnterCallersDirectory();
  return kekbit::Main(argc, argv);
}

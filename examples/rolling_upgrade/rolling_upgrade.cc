// rolling_upgrade brings a service that runs from version 1 to version 2, under load, and proves
// that nothing was lost.
//
//   v1 leads, v1 stands by             a client adds one apple at a time, and waits for each answer
//   v2 joins                           as a follower, from the snapshot that the v1 standby took
//   the v1 standby goes
//   v1 steps down, v2 leads            the client's next command waits in v2's input meanwhile
//   v1 goes, another v2 stands by      now the new command may be used
//
// The way back is refused: v1 does not load the snapshot of a v2.

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "examples/ledger_process.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/position.h"
#include "kekbit/replication/snapshot/snapshot_format.h"

namespace kekbit::examples {
namespace {

// Commands between two snapshots.
constexpr int kSnapshotEvery = 500;

// Service is a process of the service. Its words on standard error are in a file of its own.
struct Service {
  std::unique_ptr<LedgerProcess> process;
  std::string log;

  std::string words() const {
    std::ostringstream text;
    text << std::ifstream(log).rdbuf();
    return text.str();
  }
};

class Upgrade {
 public:
  explicit Upgrade(std::string directory) : directory_(std::move(directory)) {}

  absl::Status Run() {
    KB_ASSIGN_OR_RETURN(Service old_primary, Start("v1"));
    KB_RETURN_IF_ERROR(AddUntil(old_primary, Said(old_primary, "leads")));
    longest_ = absl::ZeroDuration();
    KB_ASSIGN_OR_RETURN(Service old_standby, Start("v1"));
    KB_RETURN_IF_ERROR(AddUntil(old_primary, [this] { return HasSnapshot(0); }));
    Say("v1 leads, v1 stands by, and has taken a snapshot");

    KB_ASSIGN_OR_RETURN(Service new_primary, Start("v2"));
    KB_RETURN_IF_ERROR(AddUntil(old_primary, Said(new_primary, "follows")));
    Say(new_primary.words());
    if (!absl::StrContains(new_primary.words(), "follows: snapshot ")) {
      return absl::InternalError("v2 did not start from v1's snapshot");
    }
    old_standby.process.reset();
    KB_RETURN_IF_ERROR(Add(old_primary, 1000));
    KB_RETURN_IF_ERROR(HandOver(old_primary, new_primary));
    old_primary.process.reset();
    KB_ASSIGN_OR_RETURN(Service new_standby, Start("v2"));
    const int64_t before = added_;
    KB_RETURN_IF_ERROR(
        AddUntil(new_primary, [&, this] { return added_ > before + 1000 && HasSnapshot(before + kSnapshotEvery); }));
    Say("v1 is gone, another v2 stands by, and has taken a snapshot");

    KB_RETURN_IF_ERROR(Expect(new_primary, absl::StrCat("limit apples ", added_), absl::StrCat("ok ", added_)));
    KB_RETURN_IF_ERROR(Expect(new_primary, "add apples 1", absl::StrCat("error no more than ", added_, " of apples")));
    Say("the new command works");
    KB_RETURN_IF_ERROR(RefuseOld());
    new_primary.process->CloseInput();
    new_primary.process->Wait();
    KB_RETURN_IF_ERROR(Expect(new_standby, "add apples 0", absl::StrCat("ok ", added_)));
    Say(
        absl::StrFormat("%d apples added one by one, and there are as many: nothing was lost, and no command waited "
                        "longer than %.1f ms",
                        added_, absl::ToDoubleMilliseconds(longest_)));
    return absl::OkStatus();
  }

 private:
  static void Say(absl::string_view text) {
    std::printf("%s\n", std::string(absl::StripSuffix(text, "\n")).c_str());
    std::fflush(stdout);
  }

  absl::StatusOr<Service> Start(const std::string& version) {
    Service service;
    service.log = absl::StrCat(directory_, "/log-", ++started_, "-", version);
    KB_ASSIGN_OR_RETURN(service.process,
                        LedgerProcess::Start(BesideThisProgram("inventory_" + version), directory_ + "/journal",
                                             service.log, {"--snapshot-every", absl::StrCat(kSnapshotEvery)}));
    return service;
  }

  static std::function<bool()> Said(const Service& service, const std::string& word) {
    // A line may be written in parts, and counts once it is whole.
    return [&service, word] {
      const std::string words = service.words();
      return absl::StrContains(words, word) && absl::EndsWith(words, "\n");
    };
  }

  // Returns true if there is a snapshot after that seq.
  bool HasSnapshot(int64_t seq) const {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/journal/snapshots", none)) {
      const std::optional<Seq> behind = ParseSnapshotName(entry.path().filename().string());
      if (behind && *behind > static_cast<Seq>(seq)) return true;
    }
    return false;
  }

  absl::Status Expect(Service& service, const std::string& line, const std::string& answer) {
    KB_ASSIGN_OR_RETURN(const std::string actual, service.process->Ask(line));
    if (actual == answer) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("'", line, "' is answered '", actual, "', not '", answer, "'"));
  }

  // One apple at a time: were one lost, or added twice, the next answer would tell.
  absl::Status Add(Service& primary, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const absl::Time begin = absl::Now();
      KB_RETURN_IF_ERROR(Expect(primary, "add apples 1", absl::StrCat("ok ", added_ + 1)));
      ++added_;
      longest_ = std::max(longest_, absl::Now() - begin);
    }
    return absl::OkStatus();
  }
  absl::Status AddUntil(Service& primary, const std::function<bool()>& enough) {
    const absl::Time deadline = absl::Now() + absl::Minutes(1);
    while (!enough()) {
      if (absl::Now() > deadline) return absl::DeadlineExceededError("waited in vain, see the logs");
      KB_RETURN_IF_ERROR(Add(primary, 100));
    }
    return absl::OkStatus();
  }

  absl::Status HandOver(Service& from, Service& to) {
    const absl::Time begin = absl::Now();
    KB_RETURN_IF_ERROR(Expect(from, "step-down", "ok"));
    KB_RETURN_IF_ERROR(Add(to, 1));
    const absl::Duration took = absl::Now() - begin;
    KB_RETURN_IF_ERROR(Add(to, 1000));
    Say(absl::StrFormat("v1 stepped down, v2 leads: %.2f ms from the request to step down to v2's first answer",
                        absl::ToDoubleMilliseconds(took)));
    return absl::OkStatus();
  }

  absl::Status RefuseOld() {
    KB_ASSIGN_OR_RETURN(Service old, Start("v1"));
    const int status = old.process->Wait();
    if (status == 0 || !absl::StrContains(old.words(), "FAILED_PRECONDITION")) {
      return absl::InternalError(absl::StrCat("v1 took v2's snapshot: ", old.words()));
    }
    Say(old.words());
    return absl::OkStatus();
  }

  const std::string directory_;
  int started_ = 0;
  int64_t added_ = 0;
  absl::Duration longest_;
};

int Main() {
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c): can't fail for these arguments
  std::string directory = (std::filesystem::temp_directory_path() / "kekbit-upgrade-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) {
    std::perror(directory.c_str());
    return 1;
  }
  const absl::Status status = Upgrade(directory).Run();
  if (!status.ok()) {
    std::printf("FAILED: %s\nThe journal and the logs are kept in %s\n", std::string(status.message()).c_str(),
                directory.c_str());
    return 1;
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  return 0;
}

}  // namespace
}  // namespace kekbit::examples

int main() { return kekbit::examples::Main(); }

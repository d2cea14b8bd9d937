#include "tests/scenarios/power_loss_run.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace kekbit {
namespace {

constexpr size_t kExamples = 5;
// One image in so many lives on, by the depth of the life that crashed.
constexpr uint64_t kLiveOnOneIn[] = {24, 12, 12, 12};

}  // namespace

std::string PowerLossRun::Report::ToString() const {
  std::string text = absl::StrCat("seed ", seed, ": ", lives, " lives, ", crashes, " crashes, ", images, " images (",
                                  distinct, " distinct, ", inside, " inside recovery), ", deaths, " deaths, ",
                                  recoveries, " recoveries, depth ", deepest, ", ", violations, " violations\n");
  for (const auto& [tag, count] : crash_points) absl::StrAppend(&text, "  crashed at ", tag, ": ", count, "\n");
  for (const std::string& example : examples) absl::StrAppend(&text, "  violation: ", example, "\n");
  return text;
}

PowerLossRun::PowerLossRun(const Options& options, Start start)
    : options_(options), start_(std::move(start)), random_(options.seed) {
  report_.seed = options.seed;
}

bool PowerLossRun::Done() const {
  return report_.distinct >= options_.images || (options_.stop_at_violation && report_.violations != 0);
}

const PowerLossRun::Report& PowerLossRun::Run() {
  while (!Done()) {
    SimulatedDisk disk({.unit_bytes = options_.unit_bytes, .lying = options_.lying, .scratch = options_.scratch});
    Live(disk, {}, 0, true);
  }
  return report_;
}

void PowerLossRun::Live(SimulatedDisk& disk, const History& history, int depth, bool after_power_loss) {
  ++report_.lives;
  report_.deepest = std::max(report_.deepest, depth + 1);
  Life life = {.disk = disk, .history = history, .depth = depth, .after_power_loss = after_power_loss};
  if (after_power_loss) life.history.published = history.synced;
  // Long lives, which come to the end of a segment, are looked at less often.
  life.look_every = depth > 0 ? 1 + random_.Below(6) : uint64_t{1} << random_.Below(6);
  if (options_.failing_syncs && random_.OneIn(6)) disk.FailSync(1 + random_.Below(12), random_.Next());
  disk.SetHook([&](absl::string_view tag) { Crash(life, tag); });
  absl::StatusOr<std::unique_ptr<JournalUser>> user = start_(disk);
  if (user.ok()) {
    ++report_.recoveries;
    const std::vector<std::string>& found = (*user)->commands();
    CheckFound(life, found, after_power_loss);
    CheckFoundInside(life, found.size());
    life.history.submitted = found;
    life.history.published = found.size();
    life.history.synced = after_power_loss && !options_.lying ? found.size() : std::min(history.synced, found.size());
    life.history.doubtful = history.doubtful && !after_power_loss;
    life.recovering = false;
    Work(life, **user);
    user->reset();
    disk.CrashPoint("stopped");
  } else if (!disk.failed()) {
    Violate(life, absl::StrCat("recovery refuses: ", user.status().ToString()));
  }
  disk.SetHook(nullptr);
}

void PowerLossRun::Work(Life& life, JournalUser& user) {
  const uint64_t steps = (4 + random_.Below(16)) * (life.depth > 0 ? 1 : life.look_every);
  for (uint64_t step = 0; step < steps && !Done(); ++step) {
    const uint64_t what = random_.Below(16);
    bool goes_on = true;
    if (what < 11) {
      goes_on = Append(life, user);
    } else if (what < 15) {
      goes_on = Sync(life, user);
    } else {
      goes_on = user.Other(random_).ok();
      life.disk.CrashPoint("other");
    }
    if (!goes_on) return;
  }
}

std::string PowerLossRun::NewText() {
  std::string text = absl::StrCat(++next_text_, ":");
  text.resize(text.size() + random_.Below(60), static_cast<char>('a' + next_text_ % 26));
  return text;
}

bool PowerLossRun::Append(Life& life, JournalUser& user) {
  const size_t before = life.history.submitted.size();
  std::vector<std::string> texts(random_.OneIn(6) ? 2 + random_.Below(5) : 1);
  for (std::string& text : texts) {
    text = NewText();
    life.history.submitted.push_back(text);
  }
  const bool full = options_.full_disks && random_.OneIn(100);
  if (full) life.disk.SetCapacity(0);
  const absl::Status status = user.Append(texts);
  if (full) life.disk.SetCapacity(~uint64_t{0});
  if (status.ok()) {
    life.history.published = life.history.submitted.size();
  } else if (absl::IsResourceExhausted(status)) {
    life.history.submitted.resize(before);
  }
  life.disk.CrashPoint("appended");
  if (!status.ok() && !full && !life.disk.failed()) Violate(life, absl::StrCat("append: ", status.ToString()));
  return status.ok() || absl::IsResourceExhausted(status);
}

bool PowerLossRun::Sync(Life& life, JournalUser& user) {
  const size_t published = life.history.published;
  const absl::Status status = user.Sync();
  if (status.ok()) life.history.synced = published;
  life.disk.CrashPoint(status.ok() ? "acknowledged" : "not acknowledged");
  if (status.ok()) return true;
  if (!life.disk.failed()) Violate(life, absl::StrCat("sync: ", status.ToString()));
  // A caller that asks again must not be told that the frames last.
  if (user.Sync().ok()) life.history.synced = published;
  life.disk.CrashPoint("asked again");
  return false;
}

void PowerLossRun::Crash(Life& life, absl::string_view tag) {
  if (life.depth + 1 > options_.depth_max || Done()) return;
  if (++life.crash_points % life.look_every != 0) return;
  ++report_.crashes;
  life.tag = std::string(tag);
  ++report_.crash_points[life.tag];
  CrashImagesOptions options;
  if (life.depth > 0) options = {.all_up_to = 16, .samples = 6, .corners = 8};
  CrashImages images(life.disk, random_, options);
  while (const std::unique_ptr<SimulatedDisk> after = images.Next()) {
    ++report_.images;
    report_.inside += life.recovering;
    CheckImage(life, *after, true);
    if (Done()) return;
  }
  if (!life.disk.failed() && !random_.OneIn(4)) return;
  ++report_.deaths;
  CheckImage(life, *life.disk.AfterDeath(), false);
}

void PowerLossRun::CheckImage(Life& life, SimulatedDisk& after, bool power_loss) {
  const uint64_t hash = after.ContentHash();
  if (power_loss) report_.distinct += seen_.insert(hash).second;
  const uint64_t wanted = MixHash(life.history.submitted.size() * 2 + power_loss, life.history.synced);
  if (!checked_.insert(MixHash(hash, wanted + life.recovering)).second) return;
  // Rare, and worth a look: memory is ahead of the disk.
  const bool doubtful = !power_loss && life.disk.failed();
  if (life.depth + 1 < options_.depth_max && random_.OneIn(doubtful ? 2 : kLiveOnOneIn[life.depth])) {
    History history = life.history;
    history.doubtful = !power_loss && (history.doubtful || life.disk.failed());
    Live(after, history, life.depth + 1, power_loss);
    return;
  }
  ++report_.recoveries;
  const auto user = start_(after);
  if (!user.ok()) {
    Violate(life, absl::StrCat("recovery refuses: ", user.status().ToString()));
    return;
  }
  const std::vector<std::string>& found = (*user)->commands();
  CheckFound(life, found, power_loss);
  if (power_loss && life.recovering) life.found_inside.push_back(found.size());
}

void PowerLossRun::CheckFound(const Life& life, const std::vector<std::string>& found, bool power_loss) {
  const History& history = life.history;
  // After a failed sync nobody can promise what a process sees that starts then.
  const bool doubtful = life.history.doubtful || life.disk.failed();
  const size_t least = power_loss || doubtful ? history.synced : history.published;
  if (found.size() < least) {
    Violate(life, absl::StrCat(found.size(), " found, ", least, power_loss ? " synced" : " published"));
  }
  for (size_t i = 0; i < found.size(); ++i) {
    if (i < history.submitted.size() && found[i] == history.submitted[i]) continue;
    Violate(life, absl::StrCat("found at ", i, " of ", found.size(), ": ", found[i],
                               "; submitted: ", i < history.submitted.size() ? history.submitted[i] : "nothing"));
    return;
  }
}

void PowerLossRun::CheckFoundInside(const Life& life, size_t found) {
  if (!life.after_power_loss || life.disk.failed()) return;
  for (const size_t inside : life.found_inside) {
    if (inside == found) continue;
    Violate(life, absl::StrCat("recovery found ", found, ", and ", inside, " after a crash inside of it"));
    return;
  }
}

void PowerLossRun::Violate(const Life& life, absl::string_view what) {
  ++report_.violations;
  if (report_.examples.size() >= kExamples) return;
  report_.examples.push_back(absl::StrCat("life ", report_.lives, ", depth ", life.depth + 1, ", crash at ", life.tag,
                                          life.recovering ? " inside recovery" : "", ": ", what));
}

}  // namespace kekbit

#include "kekbit/blocking_reader.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "kekbit/base/clock.h"

namespace kekbit {
namespace {

// Period at which a sleeper asks whether the writer lives.
constexpr absl::Duration kAliveEvery = absl::Milliseconds(100);
constexpr absl::Duration kPollEvery = absl::Milliseconds(1);

// A time that nobody sets back.
absl::Time MonotonicNow() { return absl::FromUnixNanos(Clock::System().MonotonicNanos()); }

}  // namespace

BlockingReader::BlockingReader(ShmReader reader, FileSystem& fs, const std::string& wake_path)
    : reader_(std::move(reader)), fs_(&fs), wake_path_(wake_path.empty() ? WakePath(reader_.path()) : wake_path) {
  OpenEvent();
}

void BlockingReader::OpenEvent() {
  if (event_) return;
  absl::StatusOr<WakeEvent> event = WakeEvent::OpenForReader(*fs_, wake_path_);
  if (event.ok()) event_ = *std::move(event);
}

std::optional<Bytes> BlockingReader::Read(absl::Duration timeout) {
  abandoned_ = false;
  std::optional<Bytes> payload = reader_.TryRead();
  if (payload || reader_.exhausted()) return payload;
  const absl::Time deadline = MonotonicNow() + timeout;
  absl::Time ask_alive = MonotonicNow();
  for (;;) {
    const uint32_t ticket = event_ ? event_->Prepare() : 0;
    const absl::Time now = MonotonicNow();
    bool gone = false;
    if (now >= ask_alive) {
      const absl::StatusOr<bool> alive = reader_.WriterAlive();
      gone = alive.ok() && !*alive;
      ask_alive = now + kAliveEvery;
    }
    // Look after the question, so that nothing published before the writer's death is missed.
    payload = reader_.TryRead();
    if (payload || reader_.exhausted()) return payload;
    abandoned_ = gone;
    if (gone || now >= deadline) return std::nullopt;
    const absl::Duration left = std::min(deadline, ask_alive) - now;
    if (event_) {
      event_->Wait(ticket, left);
    } else {
      absl::SleepFor(std::min(left, kPollEvery));
      // Try once more: the channel has its name before the event has, so the first try may have
      // been too early.
      OpenEvent();
    }
    // Look before announcing to sleep once more: else the writer would have to wake somebody who is
    // awake.
    payload = reader_.TryRead();
    if (payload || reader_.exhausted()) return payload;
  }
}

}  // namespace kekbit

// MULTI, EXEC, DISCARD, WATCH, UNWATCH.

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "examples/kv_server/kv_service.h"
#include "kekbit/base/check.h"

namespace kekbit::examples {
namespace {

// About what a request takes in a frame, at least.
size_t EncodedBytes(const KvArguments& request) {
  size_t bytes = 64;
  for (const std::string& word : request) bytes += 16 + word.size();
  return bytes;
}

KvStep ToStep(KvState::Command command) {
  return std::visit(
      [](auto& one) -> KvStep {
        if constexpr (std::is_same_v<std::decay_t<decltype(one)>, KvTransaction>) {
          KB_CHECK(false);  // no request makes one
          return KvTick{};
        } else {
          return std::move(one);
        }
      },
      command);
}

// Cuts the steps of a transaction into parts that fit into a frame each. A step that fits into none is a part by
// itself, and the journal refuses all of them.
class Cutter {
 public:
  explicit Cutter(size_t part_bytes_max) : part_bytes_max_(part_bytes_max) { parts_.emplace_back(); }

  void Add(KvStep step, size_t bytes) {
    if (bytes_ + bytes > part_bytes_max_ && !parts_.back().steps.empty()) {
      parts_.back().last = false;
      parts_.push_back({.part = static_cast<uint32_t>(parts_.size()), .steps = {}});
      bytes_ = 0;
    }
    bytes_ += bytes;
    parts_.back().steps.push_back(std::move(step));
  }
  std::vector<KvTransaction> Take() { return std::move(parts_); }

 private:
  const size_t part_bytes_max_;
  std::vector<KvTransaction> parts_;
  size_t bytes_ = 0;  // of the last one
};

}  // namespace

void KvService::Multi(KvSession& session, KvReplyWriter& reply) {
  if (session.in_transaction) return reply.Error("ERR MULTI calls can not be nested");
  session.in_transaction = true;
  session.spoiled = false;
  reply.Simple("OK");
}

void KvService::Queue(KvSession& session, const KvCommandSpec& spec, KvArguments& request) {
  const size_t bytes = EncodedBytes(request);
  if (session.queue_bytes + bytes > options_.requests.request_bytes_max) {
    return Refuse(session, request,
                  absl::StrCat("ERR the transaction takes more than ", options_.requests.request_bytes_max, " bytes"));
  }
  session.queue_bytes += bytes;
  session.queue.push_back({.spec = &spec, .request = std::move(request)});
  KvReplyWriter(&session.output).Simple("QUEUED");
}

void KvService::Discard(KvSession& session) {
  session.in_transaction = false;
  session.spoiled = false;
  session.queue = {};
  session.queue_bytes = 0;
  Unwatch(session);
}

void KvService::Exec(KvSession& session) {
  KvReplyWriter reply(&session.output, session.resp);
  if (!session.in_transaction) return reply.Error("ERR EXEC without MULTI");
  EraseDue();  // a watched key may be
  const bool spoiled = session.spoiled;
  const bool outdated = session.outdated;
  std::vector<KvQueued> queue = std::move(session.queue);
  Discard(session);
  if (spoiled) return reply.Error("EXECABORT Transaction discarded because of previous errors.");
  if (outdated) return reply.NilArray();

  const bool writes =
      std::any_of(queue.begin(), queue.end(), [](const KvQueued& q) { return q.spec->write != nullptr; });
  std::vector<std::string> answers(queue.size());
  const absl::Status done = writes ? WriteAll(queue, session.resp, &answers) : absl::OkStatus();
  if (!done.ok()) return reply.Error(absl::StrCat("EXECABORT Transaction discarded because of: ", done.message()));
  if (!writes) answers = AskAll(queue, session.resp);
  reply.Array(queue.size());
  for (size_t i = 0; i < queue.size(); ++i) {
    const KvServerCommand command = queue[i].spec->server;
    command == KvServerCommand::kNone ? reply.Raw(answers[i]) : RunServerCommand(session, command, queue[i].request);
  }
}

std::vector<std::string> KvService::AskAll(const std::vector<KvQueued>& queue, int resp) {
  std::vector<std::string> answers(queue.size());
  replica_->Read([&](const KvState& state, Position /*applied*/, absl::Time now) {
    for (size_t i = 0; i < queue.size(); ++i) {
      KvReplyWriter reply(&answers[i], resp);
      const auto& [spec, request] = queue[i];
      if (spec->query != nullptr) spec->query(state.keys(), absl::ToUnixMillis(now), request, reply);
    }
    return true;
  });
  return answers;
}

absl::Status KvService::WriteAll(std::vector<KvQueued>& queue, int resp, std::vector<std::string>* answers) {
  // Half of what a frame takes, for what EncodedBytes() does not know.
  Cutter cutter(static_cast<size_t>(options_.segment_bytes / 256));
  std::vector<size_t> places;  // in the queue, of the steps
  for (size_t i = 0; i < queue.size(); ++i) {
    auto& [spec, request] = queue[i];
    const size_t bytes = EncodedBytes(request);
    KvState::Command command;
    std::string error;
    if (spec->query != nullptr) {
      cutter.Add(KvAsk{.words = std::move(request), .resp = static_cast<uint8_t>(resp)}, bytes);
    } else if (spec->write == nullptr) {
      continue;
    } else if (spec->write(request, &command, &error)) {
      cutter.Add(ToStep(std::move(command)), bytes);
    } else {
      KvReplyWriter(&(*answers)[i], resp).Error(error);
      continue;
    }
    places.push_back(i);
  }
  if (places.empty()) return absl::OkStatus();
  const absl::StatusOr<KvResult> result = SubmitParts(cutter.Take());
  if (!result.ok()) return result.status();
  const auto* all = std::get_if<std::shared_ptr<const KvResults>>(&*result);
  if (all == nullptr || (*all)->results.size() != places.size()) {
    return absl::InternalError(
        absl::StrCat("a transaction of ", places.size(), " steps has another number of results"));
  }
  for (size_t i = 0; i < places.size(); ++i) {
    KvReplyWriter reply(&(*answers)[places[i]], resp);
    WriteKvResult((*all)->results[i], queue[places[i]].spec->answer, reply);
  }
  return absl::OkStatus();
}

absl::StatusOr<KvResult> KvService::SubmitParts(std::vector<KvTransaction> parts) {
  if (parts.size() == 1) return Submit(std::move(parts.front()));
  const std::vector<KvState::Command> commands(std::make_move_iterator(parts.begin()),
                                               std::make_move_iterator(parts.end()));
  absl::StatusOr<std::vector<Replica<KvState>::Executed>> done = replica_->SubmitBatch(commands);
  if (!done.ok()) {
    NoteFailed(done.status());
    return done.status();
  }
  NoteSubmitted(done->back().position);
  return std::move(done->back().result);
}

void KvService::Watch(KvSession& session, const KvArguments& request, KvReplyWriter& reply) {
  if (session.in_transaction) return reply.Error("ERR WATCH inside MULTI is not allowed");
  EraseDue();  // a key that is due by now is none
  replica_->Read([&](const KvState& state) {
    for (size_t i = 1; i < request.size(); ++i) {
      const uint64_t hash = state.keys().HashOf(request[i]);
      if (std::find(session.watched.begin(), session.watched.end(), hash) != session.watched.end()) continue;
      session.watched.push_back(hash);
      watchers_[hash].push_back(&session);
    }
    return true;
  });
  reply.Simple("OK");
}

void KvService::Unwatch(KvSession& session) {
  for (const uint64_t hash : session.watched) {
    const auto found = watchers_.find(hash);
    found->second.erase(std::find(found->second.begin(), found->second.end(), &session));
    if (found->second.empty()) watchers_.erase(found);
  }
  session.watched.clear();
  session.outdated = false;
}

void KvService::NoteTouched() {
  replica_->Read([&](const KvState& state) {
    for (const uint64_t hash : state.keys().touched()) {
      const auto found = watchers_.find(hash);
      if (found == watchers_.end()) continue;
      for (KvSession* session : found->second) session->outdated = true;
    }
    return true;
  });
}

}  // namespace kekbit::examples

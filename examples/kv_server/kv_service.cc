#include "examples/kv_server/kv_service.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kekbit/base/clock.h"
#include "kekbit/base/status_macros.h"

namespace kekbit::examples {

void KvService::Open(KvSession& session) {
  session.id = ++last_id_;
  ++connected_;
  session.knows_password = options_.password.empty();
  session.since_ns = session.last_ns = Clock::System().MonotonicNanos();
  sessions_.emplace(session.id, &session);
}

void KvService::Close(KvSession& session) {
  Unwatch(session);
  sessions_.erase(session.id);
}

void KvService::Reset() {
  unacknowledged_ = false;
  lost_ = false;
}

void KvService::Execute(KvSession& session, KvArguments& request) {
  ++commands_;
  session.last_ns = Clock::System().MonotonicNanos();
  // The answer of Redis to a browser that was lured here: none.
  if (absl::EqualsIgnoreCase(request[0], "post") || absl::EqualsIgnoreCase(request[0], "host:")) {
    session.leaves = true;
    return;
  }
  std::string error;
  const KvCommandSpec* spec = FindKvCommand(request, &error);
  if (spec == nullptr) return Refuse(session, request, error);
  session.last_command = spec->name;
  if (!session.knows_password && !spec->for_strangers) {
    return Refuse(session, request, "NOAUTH Authentication required.");
  }
  if (session.in_transaction && spec->queues) return Queue(session, *spec, request);
  Run(session, *spec, request);
}

void KvService::Refuse(KvSession& session, const KvArguments& request, const std::string& error) {
  KvReplyWriter reply(&session.output, session.resp);
  session.spoiled = true;
  if (!absl::EqualsIgnoreCase(request[0], "exec")) return reply.Error(error);
  Discard(session);
  reply.Error(absl::StrCat("EXECABORT Transaction discarded because of: ", absl::StripPrefix(error, "ERR ")));
}

void KvService::Run(KvSession& session, const KvCommandSpec& spec, KvArguments& request) {
  KvReplyWriter reply(&session.output, session.resp);
  if (spec.write != nullptr) return Write(spec, request, reply);
  if (spec.query != nullptr) return Ask(spec, request, reply);
  RunServerCommand(session, spec.server, request);
}

void KvService::RunServerCommand(KvSession& session, KvServerCommand command, const KvArguments& request) {
  KvReplyWriter reply(&session.output, session.resp);
  int64_t number = 0;
  switch (command) {
    case KvServerCommand::kAuth:
      return Auth(session, request, reply);
    case KvServerCommand::kClient:
      return Client(session, request, reply);
    case KvServerCommand::kCommand:
      return DescribeKvCommands(request, reply);
    case KvServerCommand::kConfig:
      return Config(request, reply);
    case KvServerCommand::kDiscard:
      if (!session.in_transaction) return reply.Error("ERR DISCARD without MULTI");
      Discard(session);
      return reply.Simple("OK");
    case KvServerCommand::kExec:
      return Exec(session);
    case KvServerCommand::kFailover:
      hands_over_ = CountStandbys() > 0;
      return hands_over_ ? reply.Simple("OK") : reply.Error("ERR FAILOVER requires connected replicas.");
    case KvServerCommand::kHello:
      return Hello(session, request);
    case KvServerCommand::kInfo:
      return reply.Verbatim(Info(request));
    case KvServerCommand::kMulti:
      return Multi(session, reply);
    case KvServerCommand::kReset:
      ResetSession(session);
      return KvReplyWriter(&session.output).Simple("RESET");
    case KvServerCommand::kSelect:
      if (!ParseKvInteger(request[1], &number)) return reply.Error(kKvNotInteger);
      if (number != static_cast<int32_t>(number)) {
        return reply.Error("ERR value is out of range, value must between -2147483648 and 2147483647");
      }
      return number == 0 ? reply.Simple("OK") : reply.Error("ERR DB index is out of range");
    case KvServerCommand::kUnwatch:
      Unwatch(session);
      return reply.Simple("OK");
    case KvServerCommand::kWait:
      if (!ParseKvInteger(request[1], &number)) return reply.Error(kKvNotInteger);
      if (!ParseKvInteger(request[2], &number)) return reply.Error("ERR timeout is not an integer or out of range");
      if (number < 0) return reply.Error("ERR timeout is negative");
      // Nothing to wait for: what is acknowledged is in the journal that all of them read.
      return reply.Integer(static_cast<int64_t>(CountStandbys()));
    case KvServerCommand::kWatch:
      return Watch(session, request, reply);
    case KvServerCommand::kNone:
    case KvServerCommand::kQuit:
      session.leaves = true;
      return reply.Simple("OK");
  }
}

void KvService::Write(const KvCommandSpec& spec, KvArguments& request, KvReplyWriter& reply) {
  KvState::Command command;
  std::string error;
  if (!spec.write(request, &command, &error)) return reply.Error(error);
  const absl::StatusOr<KvResult> result = Submit(command);
  result.ok() ? WriteKvResult(*result, spec.answer, reply)
              : reply.Error(absl::StrCat("ERR ", result.status().message()));
}

void KvService::Ask(const KvCommandSpec& spec, const KvArguments& request, KvReplyWriter& reply) {
  const auto ask = [&](bool even_if_due) {
    return replica_->Read([&](const KvState& state, Position /*applied*/, absl::Time now) {
      const int64_t now_ms = absl::ToUnixMillis(now);
      if (!even_if_due && state.keys().next_expiry_ms() < now_ms) return false;
      spec.query(state.keys(), now_ms, request, reply);
      return true;
    });
  };
  if (ask(false)) return;
  // Only the journal says that a key has expired; if that can't be, the answer leaves the key out.
  EraseDue();
  ask(true);
}

void KvService::EraseDue() {
  const bool due = replica_->Read([](const KvState& state, Position /*applied*/, absl::Time now) {
    return state.keys().next_expiry_ms() < absl::ToUnixMillis(now);
  });
  if (due) Submit(KvTick{}).IgnoreError();
}

absl::StatusOr<KvResult> KvService::Submit(const KvState::Command& command) {
  absl::StatusOr<Replica<KvState>::Executed> done = replica_->Submit(command);
  if (!done.ok()) {
    NoteFailed(done.status());
    return done.status();
  }
  NoteSubmitted(done->position);
  return std::move(done->result);
}

void KvService::NoteSubmitted(Position position) {
  submitted_ = position;
  unacknowledged_ = true;
  if (!watchers_.empty()) NoteTouched();
}

void KvService::NoteFailed(const absl::Status& status) {
  // The replica is not primary any more, or can't be.
  if (absl::IsAborted(status) || absl::IsFailedPrecondition(status)) lost_ = true;
}

absl::Status KvService::Acknowledge() {
  if (!std::exchange(unacknowledged_, false)) return absl::OkStatus();
  absl::Status status = replica_->WaitFor(submitted_, options_.ack, absl::InfiniteDuration());
  if (!status.ok()) lost_ = true;
  return status;
}

}  // namespace kekbit::examples

// AUTH, HELLO, RESET, CLIENT: what is about one connection.

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/kv_server/kv_service.h"
#include "kekbit/base/clock.h"

namespace kekbit::examples {
namespace {

constexpr char kWrongPassword[] = "WRONGPASS invalid username-password pair or user is disabled.";
constexpr char kBadClientName[] = "ERR Client names cannot contain spaces, newlines or special characters.";

bool Is(const std::string& argument, absl::string_view word) { return absl::EqualsIgnoreCase(argument, word); }

bool IsClientName(absl::string_view name) {
  return std::all_of(name.begin(), name.end(), [](char c) { return c >= '!' && c <= '~'; });
}

// Takes as long wherever the two differ.
bool SameSecret(absl::string_view a, absl::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size() && !b.empty(); ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i % b.size()]);
  }
  return difference == 0;
}

}  // namespace

bool KvService::LogIn(KvSession& session, absl::string_view user, absl::string_view password) const {
  const bool right = user == "default" && (options_.password.empty() || SameSecret(password, options_.password));
  session.knows_password = session.knows_password || right;
  return right;
}

void KvService::Auth(KvSession& session, const KvArguments& request, KvReplyWriter& reply) {
  if (request.size() > 3) return reply.Error("ERR syntax error");
  if (request.size() == 2 && options_.password.empty()) {
    return reply.Error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your "
        "configuration is correct?");
  }
  const absl::string_view user = request.size() == 2 ? "default" : absl::string_view(request[1]);
  LogIn(session, user, request.back()) ? reply.Simple("OK") : reply.Error(kWrongPassword);
}

void KvService::Hello(KvSession& session, const KvArguments& request) {
  KvReplyWriter errors(&session.output, session.resp);
  int64_t version = session.resp;
  if (request.size() > 1 && !ParseKvInteger(request[1], &version)) {
    return errors.Error("ERR Protocol version is not an integer or out of range");
  }
  if (version < 2 || version > 3) return errors.Error("NOPROTO unsupported protocol version");
  const std::string* user = nullptr;
  const std::string* password = nullptr;
  const std::string* name = nullptr;
  for (size_t i = 2; i < request.size(); ++i) {
    const size_t more = request.size() - i - 1;
    if (Is(request[i], "AUTH") && more >= 2) {
      user = &request[++i];
      password = &request[++i];
    } else if (Is(request[i], "SETNAME") && more >= 1) {
      name = &request[++i];
      if (!IsClientName(*name)) return errors.Error(kBadClientName);
    } else {
      return errors.Error(absl::StrCat("ERR Syntax error in HELLO option '", request[i], "'"));
    }
  }
  if (user != nullptr && !LogIn(session, *user, *password)) return errors.Error(kWrongPassword);
  if (!session.knows_password) {
    return errors.Error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> "
        "option can be used to authenticate the client and select the RESP protocol version at the same time");
  }
  if (name != nullptr) session.name = *name;
  session.resp = static_cast<int>(version);
  KvReplyWriter reply(&session.output, session.resp);
  reply.Map(7);
  for (const auto& [key, value] : {std::pair("server", "redis"), std::pair("version", kKvRedisVersion)}) {
    reply.Bulk(key);
    reply.Bulk(value);
  }
  reply.Bulk("proto");
  reply.Integer(version);
  reply.Bulk("id");
  reply.Integer(static_cast<int64_t>(session.id));
  for (const auto& [key, value] : {std::pair("mode", "standalone"), std::pair("role", "master")}) {
    reply.Bulk(key);
    reply.Bulk(value);
  }
  reply.Bulk("modules");
  reply.Array(0);
}

void KvService::ResetSession(KvSession& session) {
  Discard(session);
  session.resp = 2;
  session.name.clear();
  session.knows_password = options_.password.empty();
}

void KvService::Client(KvSession& session, const KvArguments& request, KvReplyWriter& reply) {
  if (Is(request[1], "ID")) return reply.Integer(static_cast<int64_t>(session.id));
  if (Is(request[1], "GETNAME")) return session.name.empty() ? reply.Nil() : reply.Bulk(session.name);
  if (Is(request[1], "INFO")) return reply.Verbatim(Describe(session));
  if (Is(request[1], "SETNAME")) {
    if (!IsClientName(request[2])) return reply.Error(kBadClientName);
    session.name = request[2];
  } else if (Is(request[1], "SETINFO")) {
    const bool library = Is(request[2], "LIB-NAME");
    if (!library && !Is(request[2], "LIB-VER")) {
      return reply.Error(absl::StrCat("ERR Unrecognized option '", request[2], "'"));
    }
    if (!IsClientName(request[3])) {
      return reply.Error(absl::StrCat("ERR ", request[2], " cannot contain spaces, newlines or special characters."));
    }
    (library ? session.library : session.library_version) = request[3];
  } else if (Is(request[1], "LIST")) {
    if (request.size() > 2) return reply.Error("ERR syntax error");
    std::string lines;
    for (const auto& [id, other] : sessions_) lines += Describe(*other);
    return reply.Verbatim(lines);
  } else if (!Is(request[2], "ON") && !Is(request[2], "OFF")) {  // NO-EVICT, NO-TOUCH: nothing is evicted
    return reply.Error("ERR syntax error");
  }
  reply.Simple("OK");
}

std::string KvService::Describe(const KvSession& session) const {
  const int64_t now_ns = Clock::System().MonotonicNanos();
  const auto seconds = [now_ns](int64_t since_ns) { return (now_ns - since_ns) / 1'000'000'000; };
  const int64_t queued = session.in_transaction ? static_cast<int64_t>(session.queue.size()) : -1;
  return absl::StrCat(
      "id=", session.id, " addr=", session.address, " name=", session.name, " age=", seconds(session.since_ns),
      " idle=", seconds(session.last_ns), " flags=", session.in_transaction ? "x" : "N",
      " db=0 sub=0 psub=0 multi=", queued, " omem=", session.output.size(), " cmd=", session.last_command,
      " user=default resp=", session.resp, " lib-name=", session.library, " lib-ver=", session.library_version, "\n");
}

}  // namespace kekbit::examples

#include "examples/kv_server/kv_commands.h"

#include <algorithm>
#include <array>
#include <memory>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace kekbit::examples {
namespace {

constexpr size_t kShownBytes = 128;  // of a client's words, in an error

constexpr KvCommandSpec Server(absl::string_view name, int arity, KvServerCommand command) {
  return {.name = name, .arity = arity, .server = command};
}

// One that is done at once, between MULTI and EXEC too.
constexpr KvCommandSpec AtOnce(absl::string_view name, int arity, KvServerCommand command) {
  return {.name = name, .arity = arity, .server = command, .queues = false};
}

constexpr KvCommandSpec ForStrangers(KvCommandSpec spec) {
  spec.for_strangers = true;
  return spec;
}

constexpr KvCommandSpec WithKeys(KvCommandSpec spec, int last_key) {
  spec.first_key = spec.key_step = last_key == 0 ? 0 : 1;
  spec.last_key = last_key;
  return spec;
}

constexpr std::array kServerSpecs = {
    ForStrangers(Server("auth", -2, KvServerCommand::kAuth)),
    Server("client", -2, KvServerCommand::kClient),
    Server("command", -1, KvServerCommand::kCommand),
    Server("config", -2, KvServerCommand::kConfig),
    AtOnce("discard", 1, KvServerCommand::kDiscard),
    AtOnce("exec", 1, KvServerCommand::kExec),
    Server("failover", 1, KvServerCommand::kFailover),
    ForStrangers(Server("hello", -1, KvServerCommand::kHello)),
    Server("info", -1, KvServerCommand::kInfo),
    AtOnce("multi", 1, KvServerCommand::kMulti),
    ForStrangers(AtOnce("quit", -1, KvServerCommand::kQuit)),
    ForStrangers(AtOnce("reset", 1, KvServerCommand::kReset)),
    Server("select", 2, KvServerCommand::kSelect),
    Server("unwatch", 1, KvServerCommand::kUnwatch),
    Server("wait", 3, KvServerCommand::kWait),
    WithKeys(AtOnce("watch", -2, KvServerCommand::kWatch), -1),
};

// Subcommand is a name, and how many arguments the subcommand takes, both names included.
struct Subcommand {
  KvServerCommand command;
  absl::string_view name;
  int arity;
};
constexpr std::array kSubcommands = {
    Subcommand{KvServerCommand::kClient, "getname", 2},   Subcommand{KvServerCommand::kClient, "id", 2},
    Subcommand{KvServerCommand::kClient, "info", 2},      Subcommand{KvServerCommand::kClient, "list", -2},
    Subcommand{KvServerCommand::kClient, "no-evict", 3},  Subcommand{KvServerCommand::kClient, "no-touch", 3},
    Subcommand{KvServerCommand::kClient, "setinfo", 4},   Subcommand{KvServerCommand::kClient, "setname", 3},
    Subcommand{KvServerCommand::kCommand, "count", 2},    Subcommand{KvServerCommand::kCommand, "docs", -2},
    Subcommand{KvServerCommand::kCommand, "info", -2},    Subcommand{KvServerCommand::kCommand, "list", -2},
    Subcommand{KvServerCommand::kConfig, "get", -3},      Subcommand{KvServerCommand::kConfig, "set", -4},
    Subcommand{KvServerCommand::kConfig, "resetstat", 2},
};

using SpecTable = absl::flat_hash_map<absl::string_view, KvCommandSpec>;

const SpecTable& Specs() {
  static const SpecTable table = [] {
    SpecTable specs;
    for (const KvCommandSpec& spec : KvWriteSpecs()) specs.emplace(spec.name, spec);
    for (const KvCommandSpec& spec : kServerSpecs) specs.emplace(spec.name, spec);
    for (const KvQuerySpec& query : KvQuerySpecs()) {
      const KvCommandSpec spec = {.name = query.name, .arity = query.arity, .query = query.query};
      specs.emplace(spec.name, WithKeys(spec, query.last_key));
    }
    return specs;
  }();
  return table;
}

std::string UnknownCommand(const KvArguments& request) {
  std::string arguments;
  for (size_t i = 1; i < request.size() && arguments.size() < kShownBytes; ++i) {
    absl::StrAppend(&arguments, "'", absl::string_view(request[i]).substr(0, kShownBytes - arguments.size()), "' ");
  }
  return absl::StrCat("ERR unknown command '", absl::string_view(request[0]).substr(0, kShownBytes),
                      "', with args beginning with: ", arguments);
}

// Returns what is wrong with the subcommand that a request asks for; empty: nothing.
std::string SubcommandError(const KvCommandSpec& spec, const KvArguments& request) {
  bool has_some = false;
  for (const Subcommand& one : kSubcommands) {
    if (one.command != spec.server) continue;
    has_some = true;
    if (!absl::EqualsIgnoreCase(one.name, request[1])) continue;
    if (TakesKvArguments(one.arity, request.size())) return "";
    return KvWrongArguments(absl::StrCat(spec.name, "|", one.name));
  }
  if (!has_some) return "";
  return absl::StrCat("ERR unknown subcommand '", absl::string_view(request[1]).substr(0, kShownBytes), "'. Try ",
                      absl::AsciiStrToUpper(spec.name), " HELP.");
}

void DescribeCommand(const KvCommandSpec& spec, KvReplyWriter& reply) {
  reply.Array(6);
  reply.Bulk(spec.name);
  reply.Integer(spec.arity);
  reply.Set(spec.server == KvServerCommand::kNone ? 1 : 0);
  if (spec.server == KvServerCommand::kNone) reply.Simple(spec.write != nullptr ? "write" : "readonly");
  reply.Integer(spec.first_key);
  reply.Integer(spec.last_key);
  reply.Integer(spec.key_step);
}

}  // namespace

std::vector<absl::string_view> KvCommandNames() {
  std::vector<absl::string_view> names;
  for (const auto& [name, spec] : Specs()) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

const KvCommandSpec* KvCommandNamed(absl::string_view name) {
  constexpr size_t kNameBytesMax = 16;
  char small[kNameBytesMax];
  if (name.size() > kNameBytesMax) return nullptr;
  for (size_t i = 0; i < name.size(); ++i) small[i] = absl::ascii_tolower(static_cast<unsigned char>(name[i]));
  const auto found = Specs().find(absl::string_view(small, name.size()));
  return found == Specs().end() ? nullptr : &found->second;
}

const KvCommandSpec* FindKvCommand(const KvArguments& request, std::string* error) {
  const KvCommandSpec* spec = KvCommandNamed(request[0]);
  if (spec == nullptr) {
    *error = UnknownCommand(request);
    return nullptr;
  }
  *error = request.size() > 1 ? SubcommandError(*spec, request) : "";
  if (error->empty() && !TakesKvArguments(spec->arity, request.size())) *error = KvWrongArguments(spec->name);
  return error->empty() ? spec : nullptr;
}

void DescribeKvCommands(const KvArguments& request, KvReplyWriter& reply) {
  const std::vector<absl::string_view> names = KvCommandNames();
  const auto describe = [&reply](absl::string_view name) {
    const KvCommandSpec* spec = KvCommandNamed(name);
    spec == nullptr ? reply.NilArray() : DescribeCommand(*spec, reply);
  };
  const std::string subcommand = request.size() == 1 ? "info" : absl::AsciiStrToLower(request[1]);
  if (subcommand == "info" && request.size() <= 2) {
    reply.Array(names.size());
    for (const absl::string_view name : names) describe(name);
  } else if (subcommand == "info") {
    reply.Array(request.size() - 2);
    for (size_t i = 2; i < request.size(); ++i) describe(request[i]);
  } else if (subcommand == "count") {
    reply.Integer(static_cast<int64_t>(names.size()));
  } else if (subcommand == "list") {
    if (request.size() > 2) return reply.Error("ERR syntax error");  // no FILTERBY
    reply.Array(names.size());
    for (const absl::string_view name : names) reply.Bulk(name);
  } else {
    reply.Map(0);  // DOCS, which redis-cli asks for first; none is as good an answer
  }
}

void WriteKvResult(const KvResult& result, KvAnswer answer, KvReplyWriter& reply) {
  struct Writer {
    KvAnswer answer;
    KvReplyWriter& reply;
    void operator()(const KvOk&) const { answer == KvAnswer::kNumber ? reply.Integer(1) : reply.Simple("OK"); }
    void operator()(const KvNil&) const { answer == KvAnswer::kNumber ? reply.Integer(0) : reply.Nil(); }
    void operator()(const KvNilArray&) const { reply.NilArray(); }
    void operator()(const KvError& error) const { reply.Error(error.text); }
    void operator()(int64_t number) const { answer == KvAnswer::kOk ? reply.Simple("OK") : reply.Integer(number); }
    void operator()(const std::string& bytes) const { reply.Bulk(bytes); }
    void operator()(const std::vector<std::string>& strings) const {
      reply.Array(strings.size());
      for (const std::string& string : strings) reply.Bulk(string);
    }
    void operator()(const KvReply& one) const { reply.Raw(one.text); }
    void operator()(const std::shared_ptr<const KvResults>& all) const {
      reply.Array(all->results.size());
      for (const KvResult& one : all->results) WriteKvResult(one, KvAnswer::kAsItIs, reply);
    }
  };
  std::visit(Writer{answer, reply}, result);
}

}  // namespace kekbit::examples

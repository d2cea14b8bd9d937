#include "examples/kv_server/kv_commands.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace kekbit::examples {
namespace {

constexpr std::array<KvCommandSpec, 3> kServerSpecs = {{
    {.name = "failover", .arity = 1, .server = KvServerCommand::kFailover},
    {.name = "info", .arity = -1, .server = KvServerCommand::kInfo},
    {.name = "quit", .arity = -1, .server = KvServerCommand::kQuit},
}};

using SpecTable = absl::flat_hash_map<absl::string_view, const KvCommandSpec*>;

const SpecTable& Specs() {
  static const SpecTable table = [] {
    SpecTable specs;
    for (const absl::Span<const KvCommandSpec> half :
         {KvWriteSpecs(), KvQuerySpecs(), absl::Span<const KvCommandSpec>(kServerSpecs)}) {
      for (const KvCommandSpec& spec : half) specs.emplace(spec.name, &spec);
    }
    return specs;
  }();
  return table;
}

std::string UnknownCommand(const KvArguments& request) {
  constexpr size_t kShown = 128;
  std::string arguments;
  for (size_t i = 1; i < request.size() && arguments.size() < kShown; ++i) {
    absl::StrAppend(&arguments, "'", absl::string_view(request[i]).substr(0, kShown - arguments.size()), "' ");
  }
  return absl::StrCat("ERR unknown command '", absl::string_view(request[0]).substr(0, kShown),
                      "', with args beginning with: ", arguments);
}

}  // namespace

std::vector<absl::string_view> KvCommandNames() {
  std::vector<absl::string_view> names;
  for (const auto& [name, spec] : Specs()) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

std::string KvWrongArguments(absl::string_view name) {
  return absl::StrCat("ERR wrong number of arguments for '", name, "' command");
}

const KvCommandSpec* KvCommandNamed(absl::string_view name) {
  constexpr size_t kNameBytesMax = 16;
  char small[kNameBytesMax];
  if (name.size() > kNameBytesMax) return nullptr;
  for (size_t i = 0; i < name.size(); ++i) small[i] = absl::ascii_tolower(static_cast<unsigned char>(name[i]));
  const auto found = Specs().find(absl::string_view(small, name.size()));
  return found == Specs().end() ? nullptr : found->second;
}

const KvCommandSpec* FindKvCommand(const KvArguments& request, std::string* error) {
  const KvCommandSpec* spec = KvCommandNamed(request[0]);
  if (spec == nullptr) {
    *error = UnknownCommand(request);
    return nullptr;
  }
  const auto count = static_cast<int64_t>(request.size());
  if (spec->arity >= 0 ? count != spec->arity : count < -spec->arity) {
    *error = KvWrongArguments(spec->name);
    return nullptr;
  }
  return spec;
}

void WriteKvResult(const KvState::Result& result, KvReplyWriter& reply) {
  struct Writer {
    KvReplyWriter& reply;
    void operator()(const KvOk&) const { reply.Simple("OK"); }
    void operator()(const KvNil&) const { reply.Nil(); }
    void operator()(const KvNilArray&) const { reply.NilArray(); }
    void operator()(const KvError& error) const { reply.Error(error.text); }
    void operator()(int64_t number) const { reply.Integer(number); }
    void operator()(const std::string& bytes) const { reply.Bulk(bytes); }
    void operator()(const std::vector<std::string>& strings) const {
      reply.Array(strings.size());
      for (const std::string& string : strings) reply.Bulk(string);
    }
  };
  std::visit(Writer{reply}, result);
}

namespace {

// Whether `c` is in the class that begins at `pattern[*at]`, behind its '['; moves *at behind its ']'.
bool InClass(absl::string_view pattern, size_t* at, char c) {
  const bool negated = *at < pattern.size() && pattern[*at] == '^';
  if (negated) ++*at;
  const auto byte = static_cast<unsigned char>(c);
  bool found = false;
  for (; *at < pattern.size() && pattern[*at] != ']'; ++*at) {
    if (pattern[*at] == '\\' && *at + 1 < pattern.size()) {
      ++*at;
      found = found || pattern[*at] == c;
    } else if (*at + 2 < pattern.size() && pattern[*at + 1] == '-') {
      auto low = static_cast<unsigned char>(pattern[*at]);
      auto high = static_cast<unsigned char>(pattern[*at + 2]);
      if (low > high) std::swap(low, high);
      found = found || (byte >= low && byte <= high);
      *at += 2;
    } else {
      found = found || pattern[*at] == c;
    }
  }
  if (*at < pattern.size()) ++*at;
  return found != negated;
}

}  // namespace

bool MatchesKvPattern(absl::string_view pattern, absl::string_view text) {
  // After a '*' that matched too little, it takes one character more: only the last one seen has to be tried again.
  size_t star = absl::string_view::npos;
  size_t star_text = 0;
  size_t at = 0;
  size_t i = 0;
  while (i < text.size() || at < pattern.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = ++at;
      star_text = i;
      continue;
    }
    if (at < pattern.size() && i < text.size()) {
      size_t next = at + 1;
      bool matches = true;
      if (pattern[at] == '[') {
        matches = InClass(pattern, &next, text[i]);
      } else if (pattern[at] != '?') {
        if (pattern[at] == '\\' && next < pattern.size()) ++next;
        matches = pattern[next - 1] == text[i];
      }
      if (matches) {
        at = next;
        ++i;
        continue;
      }
    }
    if (star == absl::string_view::npos || star_text >= text.size()) return false;
    at = star;
    i = ++star_text;
  }
  return true;
}

}  // namespace kekbit::examples

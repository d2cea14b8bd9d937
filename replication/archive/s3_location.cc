#include "kekbit/replication/archive/s3_location.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kekbit/base/status_macros.h"

namespace kekbit {
namespace {

constexpr absl::string_view kScheme = "s3://";

using Section = std::map<std::string, std::string>;

// Reads a section of a file of AWS' programs.
Section SectionOf(const std::optional<std::string>& file, absl::string_view name) {
  Section section;
  bool inside = false;
  for (absl::string_view line : absl::StrSplit(file.value_or(""), '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      inside = absl::StripAsciiWhitespace(absl::StripSuffix(line.substr(1), "]")) == name;
      continue;
    }
    const size_t equals = line.find('=');
    if (!inside || equals == absl::string_view::npos) continue;
    section.emplace(absl::StripAsciiWhitespace(line.substr(0, equals)),
                    absl::StripAsciiWhitespace(line.substr(equals + 1)));
  }
  return section;
}

// Returns the first that is there and not empty.
template <typename... More>
std::string FirstOf(const std::optional<std::string>& first, const More&... more) {
  if (first && !first->empty()) return *first;
  if constexpr (sizeof...(more) > 0) {
    return FirstOf(more...);
  } else {
    return "";
  }
}

std::optional<std::string> In(const Section& section, const std::string& name) {
  const auto found = section.find(name);
  return found == section.end() ? std::nullopt : std::optional(found->second);
}

absl::Status TakeParameters(absl::string_view parameters, S3Location& location) {
  for (const absl::string_view parameter : absl::StrSplit(parameters, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(parameter, absl::MaxSplits('=', 1));
    const auto& [name, value] = parts;
    if (name == "endpoint") {
      location.endpoint = std::string(value);
    } else if (name == "region") {
      location.region = std::string(value);
    } else if (name == "style" && (value == "path" || value == "host")) {
      location.path_style = value == "path";
    } else if (name == "one-copier" && (value == "yes" || value == "no")) {
      location.one_copier = value == "yes";
    } else {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", parameter, "\" is no parameter of an archive in S3: endpoint=URL, region=REGION, style=path or host, ",
          "one-copier=yes"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckParts(const S3Location& location) {
  const auto bad = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(location.text, ": ", what));
  };
  const auto is_plain = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_' || c == '/';
  };
  if (location.bucket.empty() || !std::all_of(location.bucket.begin(), location.bucket.end(), is_plain)) {
    return bad("names no bucket: s3://BUCKET/PREFIX");
  }
  if (!std::all_of(location.prefix.begin(), location.prefix.end(), is_plain) ||
      absl::StartsWith(location.prefix, "/") || absl::StrContains(location.prefix, "//")) {
    return bad("the prefix takes letters, digits and any of ._-/");
  }
  if (!absl::StartsWith(location.endpoint, "http://") && !absl::StartsWith(location.endpoint, "https://")) {
    return bad(
        absl::StrCat("the endpoint \"", location.endpoint, "\" is no address that begins with http:// or https://"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<S3Location> ParseS3Location(absl::string_view location, const ReadText& variable, const ReadText& file) {
  if (!absl::ConsumePrefix(&location, kScheme)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", location, "\" is no s3://BUCKET/PREFIX"));
  }
  S3Location parsed;
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(location, absl::MaxSplits('?', 1));
  const std::pair<absl::string_view, absl::string_view> path = absl::StrSplit(parts.first, absl::MaxSplits('/', 1));
  parsed.bucket = std::string(path.first);
  const absl::string_view prefix = absl::StripSuffix(path.second, "/");
  parsed.prefix = prefix.empty() ? "" : absl::StrCat(prefix, "/");
  parsed.text = absl::StrCat(kScheme, parsed.bucket, prefix.empty() ? "" : "/", prefix);

  const std::string home = variable("HOME").value_or("");
  const std::string profile = FirstOf(variable("AWS_PROFILE"), std::optional<std::string>("default"));
  const std::string credentials_path =
      FirstOf(variable("AWS_SHARED_CREDENTIALS_FILE"), std::optional(absl::StrCat(home, "/.aws/credentials")));
  const std::string config_path =
      FirstOf(variable("AWS_CONFIG_FILE"), std::optional(absl::StrCat(home, "/.aws/config")));
  const Section credentials = SectionOf(file(credentials_path), profile);
  const Section config =
      SectionOf(file(config_path), profile == "default" ? profile : absl::StrCat("profile ", profile));

  parsed.endpoint = FirstOf(variable("AWS_ENDPOINT_URL_S3"), variable("AWS_ENDPOINT_URL"), In(config, "endpoint_url"));
  parsed.path_style = !parsed.endpoint.empty() || absl::StrContains(parts.second, "endpoint=");
  KB_RETURN_IF_ERROR(TakeParameters(parts.second, parsed));
  parsed.region = FirstOf(std::optional(parsed.region), variable("AWS_REGION"), variable("AWS_DEFAULT_REGION"),
                          In(config, "region"), std::optional<std::string>("us-east-1"));
  if (parsed.endpoint.empty()) parsed.endpoint = absl::StrCat("https://s3.", parsed.region, ".amazonaws.com");
  parsed.endpoint = std::string(absl::StripSuffix(parsed.endpoint, "/"));
  KB_RETURN_IF_ERROR(CheckParts(parsed));

  // Both from one place: a key fits no other key's secret.
  parsed.access_key = variable("AWS_ACCESS_KEY_ID").value_or("");
  parsed.secret_key = variable("AWS_SECRET_ACCESS_KEY").value_or("");
  parsed.session_token = variable("AWS_SESSION_TOKEN").value_or("");
  for (const Section* section : {&credentials, &config}) {
    if (!parsed.access_key.empty() && !parsed.secret_key.empty()) break;
    parsed.access_key = In(*section, "aws_access_key_id").value_or("");
    parsed.secret_key = In(*section, "aws_secret_access_key").value_or("");
    parsed.session_token = In(*section, "aws_session_token").value_or("");
  }
  if (parsed.access_key.empty() || parsed.secret_key.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        parsed.text, ": no credentials: neither in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, nor for the profile ",
        profile, " in ", credentials_path, " or ", config_path));
  }
  return parsed;
}

absl::StatusOr<S3Location> ParseS3Location(absl::string_view location) {
  const auto variable = [](const std::string& name) -> std::optional<std::string> {
    const char* const value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  const auto file = [](const std::string& path) -> std::optional<std::string> {
    std::ifstream stream(path);
    if (!stream) return std::nullopt;
    return std::string(std::istreambuf_iterator<char>(stream), {});
  };
  return ParseS3Location(location, variable, file);
}

}  // namespace kekbit

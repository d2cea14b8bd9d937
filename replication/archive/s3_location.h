// S3Location says where an S3 bucket is, and with which credentials it is asked.
//
//   s3://BUCKET/PREFIX[?endpoint=URL][&region=REGION][&style=path|host][&one-copier=yes]
//
// What the location does not say comes from where AWS' own programs take it: the variables
// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_DEFAULT_REGION,
// AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE;
// then the files ~/.aws/credentials and ~/.aws/config.
//
// Thread safety: none needed; values. Reading the environment is not safe while others set it.

#ifndef KEKBIT_REPLICATION_ARCHIVE_S3_LOCATION_H_
#define KEKBIT_REPLICATION_ARCHIVE_S3_LOCATION_H_

#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kekbit {

struct S3Location {
  std::string text;  // as it was named, without parameters: for messages
  std::string bucket;
  std::string prefix;  // of every object's name; empty, or ends with a slash

  std::string endpoint;  // http://HOST[:PORT] or https://..., without a slash at the end
  std::string region;
  bool path_style = false;  // ENDPOINT/BUCKET/NAME; otherwise the bucket is the first part of the host's name
  // The operator's word that there is one copier at a time: for servers without put-if-absent.
  bool one_copier = false;

  std::string access_key;
  std::string secret_key;
  std::string session_token;  // empty: none
};

// Reads a variable of the environment, or a file; nullopt: there is none.
using ReadText = std::function<std::optional<std::string>(const std::string& name)>;

// Parses `location`. InvalidArgument if it can't be understood; FailedPrecondition without
// credentials, with where they were looked for.
absl::StatusOr<S3Location> ParseS3Location(absl::string_view location, const ReadText& variable, const ReadText& file);

// Parses it with the environment and the files of this process.
absl::StatusOr<S3Location> ParseS3Location(absl::string_view location);

}  // namespace kekbit

#endif  // KEKBIT_REPLICATION_ARCHIVE_S3_LOCATION_H_

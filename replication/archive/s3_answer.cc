#include "kekbit/replication/archive/s3_answer.h"

#include <cstdint>
#include <pugixml.hpp>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace kekbit {
namespace {

bool Parse(pugi::xml_document& document, absl::string_view body) {
  return static_cast<bool>(document.load_buffer(body.data(), body.size()));
}

// An answer that can't be read is no word about the object.
absl::Status Unreadable(absl::string_view what) {
  return absl::UnavailableError(absl::StrCat("the server's answer is no ", what));
}

}  // namespace

absl::StatusOr<S3List> ReadS3List(absl::string_view body) {
  pugi::xml_document document;
  const pugi::xml_node root = Parse(document, body) ? document.child("ListBucketResult") : pugi::xml_node();
  if (!root) return Unreadable("list of objects");
  S3List list;
  for (const pugi::xml_node& contents : root.children("Contents")) {
    ObjectInfo object = {.name = contents.child_value("Key")};
    if (object.name.empty() || !absl::SimpleAtoi(contents.child_value("Size"), &object.bytes)) {
      return Unreadable("list of objects");
    }
    absl::Time time;
    std::string error;
    if (absl::ParseTime(absl::RFC3339_full, contents.child_value("LastModified"), &time, &error)) {
      object.modified_ns = absl::ToUnixNanos(time);
    }
    list.objects.push_back(std::move(object));
  }
  if (absl::string_view(root.child_value("IsTruncated")) == "true") {
    list.next = root.child_value("NextContinuationToken");
    if (list.next.empty()) return Unreadable("list of objects: it is cut, and does not say where");
  }
  return list;
}

absl::StatusOr<std::string> ReadUploadId(absl::string_view body) {
  pugi::xml_document document;
  std::string id;
  if (Parse(document, body)) id = document.child("InitiateMultipartUploadResult").child_value("UploadId");
  if (id.empty()) return Unreadable("beginning of a multipart upload");
  return id;
}

absl::Status S3Error(long http, absl::string_view body, absl::string_view what) {
  pugi::xml_document document;
  const pugi::xml_node error = Parse(document, body) ? document.child("Error") : pugi::xml_node();
  if (http >= 200 && http < 300 && !error) return absl::OkStatus();
  const absl::string_view code = error.child_value("Code");
  const std::string text =
      absl::StrCat(what, ": HTTP ", http, code.empty() ? "" : " ", code,
                   *error.child_value("Message") == '\0' ? "" : ": ", error.child_value("Message"));
  if (code == "NoSuchBucket") return absl::FailedPreconditionError(absl::StrCat(text, ": make the bucket first"));
  if (code == "RequestTimeTooSkewed") {
    return absl::FailedPreconditionError(absl::StrCat(text, ": this machine's clock and the server's differ: set it"));
  }
  if (code == "PermanentRedirect" || code == "AuthorizationHeaderMalformed" || http == 301 || http == 307) {
    return absl::FailedPreconditionError(absl::StrCat(text, ": the bucket is in another region: name it by region="));
  }
  if (code == "QuotaExceeded" || code == "XMinioStorageFull" || code == "EntityTooLarge" || http == 507) {
    return absl::ResourceExhaustedError(absl::StrCat(text, ": the store is out of space"));
  }
  if (code == "NoSuchUpload") return absl::UnavailableError(text);
  if (http == 404) return absl::NotFoundError(text);
  if (http == 412) return absl::AlreadyExistsError(text);
  if (http == 401 || http == 403) {
    return absl::PermissionDeniedError(
        absl::StrCat(text, ": check the credentials, and that they may list, get, put and delete below the prefix"));
  }
  if (http == 409 || http == 429 || http >= 500 || (http >= 200 && http < 300)) return absl::UnavailableError(text);
  return absl::FailedPreconditionError(text);
}

}  // namespace kekbit

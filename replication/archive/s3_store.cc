#include "kekbit/replication/archive/s3_store.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "kekbit/base/status_macros.h"
#include "kekbit/replication/archive/incarnation.h"
#include "kekbit/replication/archive/s3_answer.h"

namespace kekbit {
namespace {

// An answer that is no object is not longer: a list has a thousand entries.
constexpr size_t kAnswerBytesMax = 8 << 20;

// A store may be as slow as this, bytes a second, before a call counts as hanging.
constexpr double kSlowest = 100'000;

// Encodes what is no plain character, as the signature wants it.
std::string Encode(absl::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '.' || c == '~';
    if (plain) {
      encoded.push_back(c);
    } else {
      absl::StrAppend(&encoded, absl::StrFormat("%%%02X", static_cast<unsigned char>(c)));
    }
  }
  return encoded;
}

// Initializes libcurl once in the process, before any thread uses it.
bool InitializeCurl() {
  static const bool done = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return done;
}

}  // namespace

struct S3Store::Call {
  const char* method = "GET";
  std::string key = {};
  std::string query = {};   // encoded, in the order of the names
  std::string header = {};  // one more, if any
  Bytes body = {};
  MutableBytes to = {};  // for the answer's bytes, if it is 2xx; otherwise the answer has them
  bool into = false;
  std::string what = {};  // for messages
};

struct S3Store::Answer {
  long http = 0;
  std::string body;
  size_t into = 0;  // bytes that are in Call::to
  std::string etag;
};

// Connections are kept for the next call of any thread.
class S3Store::Connections final {
 public:
  ~Connections() {
    for (CURL* const handle : free_) curl_easy_cleanup(handle);
  }
  CURL* Take() {
    {
      absl::MutexLock lock(&mutex_);
      if (!free_.empty()) {
        CURL* const handle = free_.back();
        free_.pop_back();
        return handle;
      }
    }
    return curl_easy_init();
  }
  void Give(CURL* handle) {
    curl_easy_reset(handle);  // the connection stays
    absl::MutexLock lock(&mutex_);
    free_.push_back(handle);
  }

 private:
  absl::Mutex mutex_;
  std::vector<CURL*> free_ ABSL_GUARDED_BY(mutex_);
};

namespace {

// What curl's callbacks work on.
struct Transfer {
  CURL* handle;
  Bytes body;  // what is left to be sent
  MutableBytes to;
  bool into;
  size_t* filled;
  std::string* answer;
  std::string* etag;
  bool too_long = false;
};

size_t OnRead(char* buffer, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = std::min(size * count, transfer.body.size());
  if (bytes != 0) std::memcpy(buffer, transfer.body.data(), bytes);
  transfer.body.remove_prefix(bytes);
  return bytes;
}

size_t OnWrite(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  long http = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &http);
  if (transfer.into && http >= 200 && http < 300) {
    if (bytes > transfer.to.size() - *transfer.filled) {
      transfer.too_long = true;
      return 0;
    }
    std::memcpy(transfer.to.data() + *transfer.filled, data, bytes);
    *transfer.filled += bytes;
    return bytes;
  }
  if (transfer.answer->size() + bytes > kAnswerBytesMax) {
    transfer.too_long = true;
    return 0;
  }
  transfer.answer->append(data, bytes);
  return bytes;
}

size_t OnHeader(char* data, size_t size, size_t count, void* user) {
  absl::string_view line(data, size * count);
  constexpr absl::string_view kEtag = "etag:";
  if (absl::StartsWithIgnoreCase(line, kEtag)) {
    *static_cast<Transfer*>(user)->etag = std::string(absl::StripAsciiWhitespace(line.substr(kEtag.size())));
  }
  return size * count;
}

}  // namespace

absl::StatusOr<std::unique_ptr<S3Store>> S3Store::Open(S3Location location, S3Limits limits) {
  if (!InitializeCurl()) return absl::ResourceExhaustedError("libcurl could not be initialized");
  return absl::WrapUnique(new S3Store(std::move(location), limits));
}

S3Store::S3Store(S3Location location, const S3Limits& limits)
    : location_(std::move(location)), limits_(limits), connections_(std::make_unique<Connections>()) {}

S3Store::~S3Store() = default;

std::string S3Store::KeyOf(absl::string_view name) const { return absl::StrCat(location_.prefix, name); }

absl::StatusOr<S3Store::Answer> S3Store::MakeOnce(const Call& call) {
  CURL* const handle = connections_->Take();
  if (handle == nullptr) return absl::ResourceExhaustedError(absl::StrCat(call.what, ": no memory for libcurl"));
  const absl::Cleanup give = [&] { connections_->Give(handle); };
  std::string url = location_.endpoint;
  if (location_.path_style) {
    absl::StrAppend(&url, "/", location_.bucket);
  } else {
    const size_t host = url.find("://") + 3;
    url.insert(host, absl::StrCat(location_.bucket, "."));
  }
  absl::StrAppend(&url, "/", call.key, call.query.empty() ? "" : "?", call.query);

  Answer answer;
  Transfer transfer = {.handle = handle,
                       .body = call.body,
                       .to = call.to,
                       .into = call.into,
                       .filled = &answer.into,
                       .answer = &answer.body,
                       .etag = &answer.etag};
  curl_slist* headers = nullptr;
  const absl::Cleanup free_headers = [&] { curl_slist_free_all(headers); };
  const auto add_header = [&](const std::string& header) { headers = curl_slist_append(headers, header.c_str()); };
  // The bytes have checksums of their own, which readers check. No header here without a value: that
  // takes one of curl's away, but this curl signs the header all the same.
  add_header("x-amz-content-sha256: UNSIGNED-PAYLOAD");
  if (!location_.session_token.empty()) add_header(absl::StrCat("x-amz-security-token: ", location_.session_token));
  if (!call.header.empty()) add_header(call.header);

  char error[CURL_ERROR_SIZE] = {};
  const std::string signature = absl::StrCat("aws:amz:", location_.region, ":s3");
  const std::string user = absl::StrCat(location_.access_key, ":", location_.secret_key);
  const double bytes = static_cast<double>(std::max(call.body.size(), call.to.size()));
  const absl::Duration timeout = limits_.timeout + absl::Seconds(bytes / kSlowest);
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(handle, CURLOPT_AWS_SIGV4, signature.c_str());
  curl_easy_setopt(handle, CURLOPT_USERPWD, user.c_str());
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(absl::ToInt64Milliseconds(limits_.connect_timeout)));
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(timeout)));
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, OnWrite);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, OnHeader);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &transfer);
  const absl::string_view method = call.method;
  if (method == "PUT" || method == "POST") {
    curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(handle, CURLOPT_READFUNCTION, OnRead);
    curl_easy_setopt(handle, CURLOPT_READDATA, &transfer);
    curl_easy_setopt(handle, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
  }
  if (method != "GET" && method != "PUT") curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, call.method);
  const CURLcode code = curl_easy_perform(handle);
  if (code != CURLE_OK) {
    return absl::UnavailableError(absl::StrCat(call.what, ": ",
                                               transfer.too_long ? "the answer is too long"
                                               : *error != '\0'  ? error
                                                                 : curl_easy_strerror(code)));
  }
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &answer.http);
  return answer;
}

absl::StatusOr<S3Store::Answer> S3Store::Make(const Call& call) {
  absl::Duration pause = limits_.first_pause;
  for (int i = 1;; ++i) {
    absl::StatusOr<Answer> answer = MakeOnce(call);
    if (answer.ok()) {
      if (absl::Status error = S3Error(answer->http, answer->body, call.what); !error.ok()) answer = std::move(error);
    }
    if (!absl::IsUnavailable(answer.status()) || i >= limits_.tries) return answer;
    absl::SleepFor(pause);
    pause *= 2;
  }
}

absl::Status S3Store::PutWhole(const std::string& key, Bytes bytes, bool if_absent) {
  Call call = {.method = "PUT", .key = key, .body = bytes, .what = absl::StrCat(location_.text, ": PUT ", key)};
  if (if_absent) call.header = "If-None-Match: *";
  return Make(call).status();
}

absl::Status S3Store::PutInParts(const std::string& key, ObjectSource& source) {
  const std::string what = absl::StrCat(location_.text, ": PUT in parts ", key);
  KB_ASSIGN_OR_RETURN(const Answer begun, Make({.method = "POST", .key = key, .query = "uploads=", .what = what}));
  KB_ASSIGN_OR_RETURN(const std::string id, ReadUploadId(begun.body));
  const std::string upload = absl::StrCat("uploadId=", Encode(id));
  absl::Cleanup give_up = [&] { Make({.method = "DELETE", .key = key, .query = upload, .what = what}).IgnoreError(); };
  std::vector<uint8_t> buffer;
  KB_RETURN_IF_ERROR(ResizeBuffer(buffer, limits_.part_bytes, what));
  std::string parts = "<CompleteMultipartUpload>";
  int number = 0;
  for (uint64_t at = 0; at < source.bytes();) {
    const MutableBytes part = MutableBytes(buffer).first(std::min<uint64_t>(buffer.size(), source.bytes() - at));
    KB_RETURN_IF_ERROR(source.Read(at, part));
    KB_ASSIGN_OR_RETURN(const Answer put, Make({.method = "PUT",
                                                .key = key,
                                                .query = absl::StrCat("partNumber=", ++number, "&", upload),
                                                .body = part,
                                                .what = what}));
    absl::StrAppend(&parts, "<Part><PartNumber>", number, "</PartNumber><ETag>", put.etag, "</ETag></Part>");
    at += part.size();
  }
  absl::StrAppend(&parts, "</CompleteMultipartUpload>");
  // A second completion of the same upload is NoSuchUpload: so this call is made once.
  KB_ASSIGN_OR_RETURN(const Answer done,
                      MakeOnce({.method = "POST", .key = key, .query = upload, .body = AsBytes(parts), .what = what}));
  KB_RETURN_IF_ERROR(S3Error(done.http, done.body, what));
  std::move(give_up).Cancel();
  return absl::OkStatus();
}

absl::Status S3Store::Put(absl::string_view name, ObjectSource& source) {
  KB_RETURN_IF_ERROR(CheckObjectName(name));
  if (source.bytes() > limits_.part_bytes) return PutInParts(KeyOf(name), source);
  std::vector<uint8_t> bytes;
  KB_RETURN_IF_ERROR(ResizeBuffer(bytes, source.bytes(), name));
  KB_RETURN_IF_ERROR(source.Read(0, MutableBytes(bytes)));
  return PutWhole(KeyOf(name), bytes, /*if_absent=*/false);
}

absl::Status S3Store::CheckPutIfAbsent() {
  {
    absl::MutexLock lock(&mutex_);
    if (put_if_absent_works_ || location_.one_copier) return absl::OkStatus();
  }
  const std::string key = KeyOf(absl::StrFormat("probes/%016x", NewIncarnationId()));
  KB_RETURN_IF_ERROR(PutWhole(key, AsBytes("probe"), /*if_absent=*/false));
  absl::Status second = PutWhole(key, AsBytes("probe"), /*if_absent=*/true);
  Make({.method = "DELETE", .key = key, .what = key}).IgnoreError();
  if (second.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        location_.text, ": the server at ", location_.endpoint, " does not know If-None-Match: two copiers could undo ",
        "each other; if there will be one at a time, say one-copier=yes"));
  }
  if (!absl::IsAlreadyExists(second)) return second;
  absl::MutexLock lock(&mutex_);
  put_if_absent_works_ = true;
  return absl::OkStatus();
}

absl::Status S3Store::PutIfAbsent(absl::string_view name, Bytes bytes) {
  KB_RETURN_IF_ERROR(CheckObjectName(name));
  KB_RETURN_IF_ERROR(CheckPutIfAbsent());
  if (!location_.one_copier) return PutWhole(KeyOf(name), bytes, /*if_absent=*/true);
  absl::Status there = Get(name, 0, {}).status();
  if (there.ok()) return absl::AlreadyExistsError(absl::StrCat(location_.text, "/", name, ": is there already"));
  if (!absl::IsNotFound(there)) return there;
  return PutWhole(KeyOf(name), bytes, /*if_absent=*/false);
}

absl::StatusOr<size_t> S3Store::Get(absl::string_view name, uint64_t offset, MutableBytes to) {
  KB_RETURN_IF_ERROR(CheckObjectName(name));
  uint8_t byte;
  const bool asks = to.empty();  // whether it is there
  if (asks) to = MutableBytes(&byte, 1);
  const std::string key = KeyOf(name);
  absl::StatusOr<Answer> answer = Make({.key = key,
                                        .header = absl::StrCat("Range: bytes=", offset, "-", offset + to.size() - 1),
                                        .to = to,
                                        .into = true,
                                        .what = absl::StrCat(location_.text, ": GET ", key)});
  constexpr absl::string_view kBeyondTheEnd = "HTTP 416";
  if (absl::StrContains(answer.status().message(), kBeyondTheEnd)) return 0;
  KB_RETURN_IF_ERROR(answer.status());
  return asks ? 0 : answer->into;
}

absl::StatusOr<std::vector<ObjectInfo>> S3Store::List(absl::string_view prefix) {
  std::vector<ObjectInfo> objects;
  std::string token;
  do {
    const std::string query = absl::StrCat(token.empty() ? "" : absl::StrCat("continuation-token=", Encode(token), "&"),
                                           "delimiter=%2F&list-type=2&prefix=", Encode(KeyOf(prefix)));
    KB_ASSIGN_OR_RETURN(const Answer answer,
                        Make({.query = query, .what = absl::StrCat(location_.text, ": list ", prefix)}));
    KB_ASSIGN_OR_RETURN(S3List list, ReadS3List(answer.body));
    for (ObjectInfo& object : list.objects) {
      absl::string_view name = object.name;
      if (!absl::ConsumePrefix(&name, location_.prefix) || !CheckObjectName(name).ok()) continue;
      object.name = std::string(name);
      objects.push_back(std::move(object));
    }
    token = std::move(list.next);
  } while (!token.empty());
  std::sort(objects.begin(), objects.end(), [](const ObjectInfo& a, const ObjectInfo& b) { return a.name < b.name; });
  return objects;
}

absl::Status S3Store::Delete(absl::string_view name) {
  KB_RETURN_IF_ERROR(CheckObjectName(name));
  const std::string key = KeyOf(name);
  const absl::Status deleted =
      Make({.method = "DELETE", .key = key, .what = absl::StrCat(location_.text, ": DELETE ", key)}).status();
  return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

}  // namespace kekbit

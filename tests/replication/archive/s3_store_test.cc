// S3Store against a real server of the protocol, with faults.

#include "kekbit/replication/archive/s3_store.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/archive/s3_answer.h"
#include "tests/support/object_store_suite.h"
#include "tests/support/s3_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_journal.h"

namespace kekbit {
namespace {

using testing::HasSubstr;

S3Limits Quick() { return {.tries = 4, .first_pause = absl::Milliseconds(1), .part_bytes = 6 << 20}; }

class S3Here final : public StoreUnderTest {
 public:
  static bool IsThere() { return S3Server::IsThere(); }
  ObjectStore& store() override {
    if (store_ == nullptr) {
      server_ = std::make_unique<S3Server>();
      store_ = ValueOrDie(S3Store::Open(server_->location("some/prefix"), Quick()));
    }
    return *store_;
  }

 private:
  std::unique_ptr<S3Server> server_;
  std::unique_ptr<S3Store> store_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(S3, ObjectStoreSuite, S3Here);

class S3StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!S3Server::IsThere()) GTEST_SKIP() << S3Server::kMissing;
    server_ = std::make_unique<S3Server>();
    store_ = ValueOrDie(S3Store::Open(server_->location("prefix"), Quick()));
  }
  std::string Read(absl::string_view name) {
    return std::string(AsText(ValueOrDie(GetWhole(*store_, name, 64 << 20))));
  }

  std::unique_ptr<S3Server> server_;
  std::unique_ptr<S3Store> store_;
};

TEST_F(S3StoreTest, WhateverTheServerDoesOnceTheCallIsMadeAgain) {
  const std::string bytes(100'000, 'x');
  const std::string parts(13 << 20, 'y');
  ASSERT_THAT(store_->PutIfAbsent("manifests/first", AsBytes("1")), IsOk());  // the server was tried
  for (const char* kind : {"500", "503", "drop", "lost", "slow"}) {
    server_->Fault(1, kind);
    EXPECT_THAT(store_->Put("frames/one", AsBytes(bytes)), IsOk()) << kind;
    server_->Fault(1, kind);
    EXPECT_EQ(Read("frames/one"), bytes) << kind;
    server_->Fault(1, kind);
    EXPECT_THAT(store_->List("frames/"), IsOk()) << kind;
    server_->Fault(1, kind);
    const std::string name = absl::StrCat("manifests/", kind);
    // An answer that was lost: it is there, and by whom is not known.
    EXPECT_THAT(store_->PutIfAbsent(name, AsBytes("2")),
                StatusIs(kind == std::string("lost") ? absl::StatusCode::kAlreadyExists : absl::StatusCode::kOk))
        << kind;
    EXPECT_EQ(Read(name), "2");
    for (int request = 1; request <= 3; ++request) {
      server_->Fault(request, kind);
      EXPECT_THAT(store_->Put("frames/parts", AsBytes(parts)), IsOk()) << kind << " at " << request;
    }
    server_->Fault(1, kind);
    EXPECT_THAT(store_->Delete("frames/one"), IsOk()) << kind;
  }
  EXPECT_TRUE(Read("frames/parts") == parts);
  server_->Fault(1, "half");
  EXPECT_TRUE(Read("frames/parts") == parts);
  server_->Fault(1, "half");
  EXPECT_THAT(store_->List("frames/"), IsOk());
}

TEST_F(S3StoreTest, AServerThatIsAwayIsUnavailable) {
  ASSERT_THAT(store_->Put("frames/one", AsBytes("1")), IsOk());
  server_.reset();
  EXPECT_THAT(store_->Put("frames/one", AsBytes("1")),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("s3://bucket")));
  EXPECT_THAT(store_->Get("frames/one", 0, {}), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(store_->List("frames/"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(S3StoreTest, AServerWithoutPutIfAbsentIsRefusedUnlessThereIsOneCopier) {
  server_->Fault(0, "nothing");
  EXPECT_THAT(store_->PutIfAbsent("manifests/1", AsBytes("1")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("one-copier=yes")));
  S3Location location = server_->location("prefix");
  location.one_copier = true;
  const auto store = ValueOrDie(S3Store::Open(location, Quick()));
  EXPECT_THAT(store->PutIfAbsent("manifests/1", AsBytes("1")), IsOk());
  EXPECT_THAT(store->PutIfAbsent("manifests/1", AsBytes("2")), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(Read("manifests/1"), "1");
}

TEST_F(S3StoreTest, ErrorsTellWhatToDo) {
  S3Location location = server_->location("prefix");
  location.bucket = "nobody";
  EXPECT_THAT(ValueOrDie(S3Store::Open(location, Quick()))->Put("a/b", Bytes()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("make the bucket")));
  EXPECT_THAT(ValueOrDie(S3Store::Open(location, Quick()))->List("a/"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("make the bucket")));
  location = server_->location("prefix");
  location.secret_key = "wrong";
  EXPECT_THAT(ValueOrDie(S3Store::Open(location, Quick()))->Put("a/b", Bytes()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("credentials")));
}

TEST(S3AnswerTest, EachErrorHasItsCode) {
  const auto error = [](long http, absl::string_view code) {
    return S3Error(http, absl::StrCat("<Error><Code>", code, "</Code><Message>why</Message></Error>"), "call");
  };
  EXPECT_THAT(S3Error(200, "", "call"), IsOk());
  EXPECT_THAT(error(404, "NoSuchKey"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("call: HTTP 404 NoSuchKey: why")));
  EXPECT_THAT(error(404, "NoSuchBucket"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(error(404, "NoSuchUpload"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(error(412, "PreconditionFailed"), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(error(403, "AccessDenied"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(error(403, "RequestTimeTooSkewed"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("clock")));
  EXPECT_THAT(error(507, "XMinioStorageFull"), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("space")));
  EXPECT_THAT(error(409, "ConditionalRequestConflict"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(error(503, "SlowDown"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(error(400, "InvalidArgument"), StatusIs(absl::StatusCode::kFailedPrecondition));
  // A completion that failed after its answer had begun.
  EXPECT_THAT(error(200, "InternalError"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(S3AnswerTest, WhatIsNoListIsNoEmptyArchive) {
  EXPECT_THAT(ReadS3List("<ListBucketResult></ListBucketResult>"), IsOk());
  for (const char* body :
       {"", "<html>", "<ListBucketResult>", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>"}) {
    EXPECT_THAT(ReadS3List(body), StatusIs(absl::StatusCode::kUnavailable)) << body;
  }
}

TEST(S3LocationTest, ComesFromTheTextTheEnvironmentAndTheFiles) {
  std::map<std::string, std::string> variables = {{"HOME", "/home/ada"}};
  std::map<std::string, std::string> files;
  const auto reader = [](const std::map<std::string, std::string>& from) {
    return [&from](const std::string& name) -> std::optional<std::string> {
      const auto found = from.find(name);
      return found == from.end() ? std::nullopt : std::optional(found->second);
    };
  };
  const auto parse = [&](absl::string_view text) { return ParseS3Location(text, reader(variables), reader(files)); };
  EXPECT_THAT(parse("s3://bucket/a/b"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no credentials")));
  files["/home/ada/.aws/credentials"] =
      "# two\n[default]\naws_access_key_id = AK\naws_secret_access_key=S=K\n[other]\naws_access_key_id=A2\n"
      "aws_secret_access_key=S2\naws_session_token=T2\n";
  files["/home/ada/.aws/config"] = "[default]\nregion = eu-central-1\n[profile other]\nendpoint_url=http://h:1/\n";
  S3Location location = ValueOrDie(parse("s3://bucket/a/b/"));
  EXPECT_EQ(location.text, "s3://bucket/a/b");
  EXPECT_EQ(location.prefix, "a/b/");
  EXPECT_EQ(location.endpoint, "https://s3.eu-central-1.amazonaws.com");
  EXPECT_FALSE(location.path_style);
  EXPECT_EQ(location.access_key, "AK");
  EXPECT_EQ(location.secret_key, "S=K");
  EXPECT_EQ(ValueOrDie(parse("s3://bucket")).prefix, "");
  variables["AWS_PROFILE"] = "other";
  location = ValueOrDie(parse("s3://bucket/p?region=r&one-copier=yes"));
  EXPECT_EQ(location.session_token, "T2");
  EXPECT_EQ(location.endpoint, "http://h:1");
  EXPECT_TRUE(location.path_style);
  EXPECT_TRUE(location.one_copier);
  EXPECT_EQ(location.region, "r");
  variables["AWS_ACCESS_KEY_ID"] = "AV";
  variables["AWS_SECRET_ACCESS_KEY"] = "SV";
  location = ValueOrDie(parse("s3://bucket/p?endpoint=https://minio:9000&style=host"));
  EXPECT_EQ(location.access_key, "AV");
  EXPECT_EQ(location.session_token, "");
  EXPECT_EQ(location.endpoint, "https://minio:9000");
  EXPECT_FALSE(location.path_style);
  for (const char* bad : {"s3://", "s3:///p", "s3://b/p?x=1", "s3://b/p?style=none", "s3://b/a b",
                          "s3://b/p?endpoint=h:1", "http://b", "s3://b//p"}) {
    EXPECT_THAT(parse(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

}  // namespace
}  // namespace kekbit

// ObjectStoreSuite is what every ObjectStore does, as tests over a StoreUnderTest.
//
//   INSTANTIATE_TYPED_TEST_SUITE_P(Directory, ObjectStoreSuite, DirectoryStoreHere);

#ifndef KEKBIT_TESTS_SUPPORT_OBJECT_STORE_SUITE_H_
#define KEKBIT_TESTS_SUPPORT_OBJECT_STORE_SUITE_H_

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock-matchers.h"
#include "gmock/gmock-more-matchers.h"
#include "gtest/gtest.h"
#include "kekbit/replication/archive/object_store.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_journal.h"

namespace kekbit {

// StoreUnderTest is an empty store, as long as it lives.
class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  // Hidden by a store that is not there everywhere: then its tests are skipped.
  static bool IsThere() { return true; }
  virtual ObjectStore& store() = 0;
};

template <typename T>
class ObjectStoreSuite : public testing::Test {
 protected:
  void SetUp() override {
    if (!T::IsThere()) GTEST_SKIP() << "the store is not there";
    here_.store();  // made before threads use it
  }
  ObjectStore& store() { return here_.store(); }
  std::string Read(absl::string_view name) {
    return std::string(AsText(ValueOrDie(GetWhole(store(), name, 64 << 20))));
  }
  std::vector<std::string> Names(absl::string_view prefix) {
    std::vector<std::string> names;
    for (const ObjectInfo& object : ValueOrDie(store().List(prefix))) names.push_back(object.name);
    return names;
  }

 private:
  T here_;
};

TYPED_TEST_SUITE_P(ObjectStoreSuite);

TYPED_TEST_P(ObjectStoreSuite, GivesWhatWasPut) {
  ASSERT_THAT(this->store().Put("frames/one", AsBytes("some bytes")), IsOk());
  EXPECT_EQ(this->Read("frames/one"), "some bytes");
  uint8_t part[4];
  EXPECT_THAT(this->store().Get("frames/one", 5, MutableBytes(part)), IsOkAndHolds(4u));
  EXPECT_EQ(AsText(Bytes(part)), "byte");
  EXPECT_THAT(this->store().Get("frames/one", 8, MutableBytes(part)), IsOkAndHolds(2u));
  EXPECT_THAT(this->store().Get("frames/one", 10, MutableBytes(part)), IsOkAndHolds(0u));
  EXPECT_THAT(this->store().Get("frames/one", 99, MutableBytes(part)), IsOkAndHolds(0u));
  EXPECT_THAT(this->store().Get("frames/two", 0, MutableBytes(part)), StatusIs(absl::StatusCode::kNotFound));
}

TYPED_TEST_P(ObjectStoreSuite, ReplacesWhatWasPutBefore) {
  ASSERT_THAT(this->store().Put("frames/one", AsBytes("a longer text")), IsOk());
  ASSERT_THAT(this->store().Put("frames/one", AsBytes("short")), IsOk());
  EXPECT_EQ(this->Read("frames/one"), "short");
}

TYPED_TEST_P(ObjectStoreSuite, TakesLongObjects) {
  std::string bytes(20'000'003, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * i >> 7);
  ASSERT_THAT(this->store().Put("frames/long", AsBytes(bytes)), IsOk());
  EXPECT_TRUE(this->Read("frames/long") == bytes);
  EXPECT_THAT(GetWhole(this->store(), "frames/long", bytes.size()), IsOk());
  EXPECT_THAT(GetWhole(this->store(), "frames/long", bytes.size() - 1),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TYPED_TEST_P(ObjectStoreSuite, OfSeveralThatPutIfAbsentOneSucceeds) {
  constexpr int kThreads = 4;
  for (int round = 0; round < 20; ++round) {
    const std::string name = absl::StrCat("manifests/", round);
    std::vector<absl::Status> results(kThreads);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] { results[i] = this->store().PutIfAbsent(name, AsBytes(absl::StrCat(i))); });
    }
    for (std::thread& thread : threads) thread.join();
    int winner = -1;
    for (int i = 0; i < kThreads; ++i) {
      if (!results[i].ok()) {
        EXPECT_THAT(results[i], StatusIs(absl::StatusCode::kAlreadyExists));
        continue;
      }
      EXPECT_EQ(winner, -1);
      winner = i;
    }
    ASSERT_NE(winner, -1);
    EXPECT_EQ(this->Read(name), absl::StrCat(winner));
  }
}

TYPED_TEST_P(ObjectStoreSuite, ListsByPrefixAndDeletes) {
  using testing::ElementsAre;
  using testing::IsEmpty;
  EXPECT_THAT(this->Names("frames/"), IsEmpty());
  for (const char* name : {"frames/b-1", "frames/a-1", "frames/a-2", "snapshots/a-3"}) {
    ASSERT_THAT(this->store().Put(name, AsBytes(name)), IsOk());
  }
  EXPECT_THAT(this->Names("frames/"), ElementsAre("frames/a-1", "frames/a-2", "frames/b-1"));
  EXPECT_THAT(this->Names("frames/a-"), ElementsAre("frames/a-1", "frames/a-2"));
  EXPECT_EQ(ValueOrDie(this->store().List("snapshots/")).front().bytes, 13u);
  EXPECT_GT(ValueOrDie(this->store().List("snapshots/")).front().modified_ns, 1'700'000'000'000'000'000);
  EXPECT_THAT(this->store().Delete("frames/a-2"), IsOk());
  EXPECT_THAT(this->store().Delete("frames/a-2"), IsOk());
  EXPECT_THAT(this->Names("frames/"), ElementsAre("frames/a-1", "frames/b-1"));
}

TYPED_TEST_P(ObjectStoreSuite, ListsThousands) {
  constexpr int kObjects = 1100;  // more than one answer of S3 has
  for (int i = 0; i < kObjects; ++i) {
    ASSERT_THAT(this->store().Put(absl::StrCat("frames/", 10'000 + i), AsBytes("x")), IsOk());
  }
  const std::vector<std::string> names = this->Names("frames/");
  EXPECT_EQ(names.size(), size_t{kObjects});
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
}

TYPED_TEST_P(ObjectStoreSuite, RefusesOtherNames) {
  for (const char* name : {"", "/", "frames/", "/frames", "frames//1", "frames/.hidden", "frames/../up", "a b", "ä"}) {
    EXPECT_THAT(this->store().Put(name, Bytes()), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
    EXPECT_THAT(this->store().PutIfAbsent(name, Bytes()), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
    EXPECT_THAT(this->store().Get(name, 0, {}), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
    EXPECT_THAT(this->store().Delete(name), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
}

REGISTER_TYPED_TEST_SUITE_P(ObjectStoreSuite, GivesWhatWasPut, ReplacesWhatWasPutBefore, TakesLongObjects,
                            OfSeveralThatPutIfAbsentOneSucceeds, ListsByPrefixAndDeletes, ListsThousands,
                            RefusesOtherNames);

}  // namespace kekbit

#endif  // KEKBIT_TESTS_SUPPORT_OBJECT_STORE_SUITE_H_

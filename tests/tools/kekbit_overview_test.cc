#include "tools/kekbit_overview.h"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock-matchers.h"
#include "gtest/gtest.h"

namespace kekbit {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(KekbitOverviewTest, DurationsHaveThreeDigits) {
  const std::vector<std::pair<int64_t, std::string>> expected = {
      {0, "0"},
      {1, "1 ns"},
      {999, "999 ns"},
      {1000, "1 us"},
      {1234, "1.23 us"},
      {999'600, "1 ms"},
      {45'600'000, "45.6 ms"},
      {7'890'000'000, "7.89 s"},
      {90'000'000'000, "1.5 min"},
      {5'400'000'000'000, "1.5 h"},
      {129'600'000'000'000, "1.5 d"},
      {-1500, "-1.5 us"},
      {std::numeric_limits<int64_t>::min(), "-1.07e+05 d"},
  };
  for (const auto& [nanos, text] : expected) EXPECT_EQ(NanosText(nanos), text);
}

TEST(KekbitOverviewTest, SizesHaveThreeDigits) {
  const std::vector<std::pair<uint64_t, std::string>> expected = {
      {0, "0"},
      {1023, "1023 B"},
      {1024, "1 KiB"},
      {1536, "1.5 KiB"},
      {1000 << 10, "0.977 MiB"},
      {64 << 20, "64 MiB"},
      {std::numeric_limits<uint64_t>::max(), "16 EiB"},
  };
  for (const auto& [bytes, text] : expected) EXPECT_EQ(BytesText(bytes), text);
}

TEST(KekbitOverviewTest, ReadersThatHoldTheJournalAreWarnedOf) {
  JournalFacts facts;
  facts.last = {.epoch = 2, .seq = 100};
  facts.bytes = 10 << 20;
  facts.readers.push_back({.name = "audit", .status = {}, .done = {.epoch = 1, .seq = 90}, .owned = true});
  facts.readers.push_back({.name = "dead", .status = {}, .done = {.epoch = 1, .seq = 10}});
  facts.holds.push_back({.name = "audit", .owned = true, .bytes = 1 << 20, .since_ns = 1'700'000'000'000'000'000});
  facts.holds.push_back({.name = "dead", .owned = false, .bytes = 3 << 20, .since_ns = 1'700'000'000'000'000'000});
  EXPECT_THAT(OverviewText(facts),
              AllOf(Contains("warning          the reader \"dead\", which nobody has, holds 3 MiB of the journal, from "
                             "2023-11-14T22:13:20Z on; if it does not come back: kekbit cursors DIR --remove NAME"),
                    Not(Contains(HasSubstr("\"audit\" holds")))));
  EXPECT_THAT(OverviewJson(facts),
              AllOf(Contains(HasSubstr("\"lag_frames\":10,\"held_bytes\":1048576,\"held_since\":1700000000000000000,"
                                       "\"warning\":false}")),
                    Contains(HasSubstr("\"lag_frames\":90,\"held_bytes\":3145728,\"held_since\":1700000000000000000,"
                                       "\"warning\":true}"))));
}

TEST(KekbitOverviewTest, TheStateIsNamedIfTheJournalSaysWhichItIs) {
  JournalFacts facts;
  EXPECT_THAT(OverviewText(facts), testing::Not(Contains(StartsWith("state "))));
  EXPECT_THAT(OverviewJson(facts), testing::Not(Contains(HasSubstr("state_name"))));
  facts.state_name = "led\x1bger";  // whatever it is, it must not reach the terminal
  EXPECT_THAT(OverviewText(facts), Contains("state            \"led\\u001bger\""));
  EXPECT_THAT(OverviewJson(facts), Contains(HasSubstr("\"state_name\":\"led\\u001bger\"")));
}

TEST(KekbitOverviewTest, ReadersAreShownWithTheirPlaces) {
  JournalFacts facts;
  facts.last = {.epoch = 2, .seq = 100};
  facts.readers.push_back({.name = "audit", .status = {}, .done = {.epoch = 1, .seq = 90}, .owned = true});
  facts.readers.push_back({.name = "slow", .status = {}, .done = {.epoch = 1, .seq = 10}, .first_kept = 50});
  facts.readers.push_back({.name = "torn", .status = absl::DataLossError("DIR/readers/torn: damaged"), .done = {}});
  EXPECT_THAT(
      OverviewText(facts),
      AllOf(Contains("reader           \"audit\", somebody has it: done up to seq 90, 10 behind"),
            Contains("reader           \"slow\", nobody has it: done up to seq 10, 90 behind; has lost its place, "
                     "the first kept is 50"),
            Contains("reader           \"torn\", nobody has it: DIR/readers/torn: damaged")));
  EXPECT_THAT(
      OverviewJson(facts),
      AllOf(Contains("{\"kind\":\"reader\",\"name\":\"audit\",\"owned\":true,\"place\":\"kept\",\"done_epoch\":1,"
                     "\"done_seq\":90,\"lag_frames\":10}"),
            Contains("{\"kind\":\"reader\",\"name\":\"slow\",\"owned\":false,\"place\":\"lost\",\"done_epoch\":1,"
                     "\"done_seq\":10,\"first_kept\":50,\"lag_frames\":90}"),
            Contains("{\"kind\":\"reader\",\"name\":\"torn\",\"owned\":false,\"place\":\"unreadable\","
                     "\"reason\":\"DIR/readers/torn: damaged\"}")));
}

// Mends: two processes that are both process 1, each in a pid namespace of its own, looked the same.
TEST(KekbitOverviewTest, ProcessesWithOnePidAreToldApart) {
  JournalFacts facts;
  facts.lease_held = true;
  facts.holder = {.pid = 1, .start_time = 500, .pid_namespace = 4001};
  const auto add = [&facts](const ProcessId& process) {
    facts.replicas.push_back({});
    facts.replicas.back().facts.process = process;
  };
  add(*facts.holder);
  EXPECT_THAT(OverviewText(facts), AllOf(Contains("primary          pid 1"), Not(Contains(HasSubstr("namespace")))));
  add({.pid = 1, .start_time = 500, .pid_namespace = 4002});
  add({.pid = 7, .start_time = 600, .pid_namespace = 4002});
  EXPECT_THAT(OverviewText(facts), AllOf(Contains("primary          pid 1 of pid namespace 4001, start time 500"),
                                         Contains("            process   pid 1 of pid namespace 4001, start time 500"),
                                         Contains("            process   pid 1 of pid namespace 4002, start time 500"),
                                         Not(Contains(HasSubstr("pid 7 of")))));
  EXPECT_THAT(OverviewJson(facts)[0],
              HasSubstr("\"primary_start_time\":500,\"primary_pid_namespace\":4001,\"primary_pid\":1"));
}

TEST(KekbitOverviewTest, AProcessThatHangsAndCanNotBeKilledIsShown) {
  JournalFacts facts;
  facts.replicas.push_back({});
  facts.replicas[0].facts.unkillable = {.process = {.pid = 1, .start_time = 5, .pid_namespace = 4001},
                                        .at_ns = 1'790'000'000'000'000'000};
  EXPECT_THAT(OverviewText(facts), Contains(HasSubstr("hangs     pid 1 of pid namespace 4001, which keeps the lease, "
                                                      "and this replica can't kill it: seen at 2026-09-21T")));
  EXPECT_THAT(OverviewJson(facts)[1],
              HasSubstr("\"unkillable_pid\":1,\"unkillable_start_time\":5,\"unkillable_pid_namespace\":4001,"
                        "\"unkillable_since\":1790000000000000000,"));
}

TEST(KekbitOverviewTest, SnapshotsAreListed) {
  JournalFacts facts;
  EXPECT_THAT(OverviewText(facts), Contains("snapshots        none"));
  facts.snapshots = {{.seq = 100, .bytes = 2048}, {.seq = 200, .bytes = 4096}};
  EXPECT_THAT(OverviewText(facts), Contains("snapshots        up to seq 100 (2 KiB), up to seq 200 (4 KiB)"));
  EXPECT_THAT(OverviewJson(facts)[0],
              HasSubstr("\"snapshots\":2,\"newest_snapshot_seq\":200,\"newest_snapshot_bytes\":4096,"));
}

TEST(KekbitOverviewTest, APrimaryThatHangsIsSaid) {
  JournalFacts facts;
  facts.lease_held = true;
  facts.holder = ProcessId{.pid = 42};
  ReplicaView replica;
  replica.facts.process = *facts.holder;
  replica.facts.alive = true;
  replica.facts.role = Role::kPrimary;
  facts.replicas = {replica};
  facts.silent = absl::Milliseconds(2999);
  EXPECT_THAT(OverviewText(facts),
              AllOf(Contains("primary          pid 42"), Contains(StartsWith("        42  alive  primary "))));
  EXPECT_THAT(OverviewJson(facts)[0],
              HasSubstr("\"primary_pid\":42,\"primary_silent_ns\":2999000000,\"primary_hangs\":false,\"snapshots\""));
  facts.silent = absl::Milliseconds(12345);
  EXPECT_THAT(OverviewText(facts), AllOf(Contains("primary          pid 42, no sign of life for 12.3 s"),
                                         Contains(StartsWith("        42  hangs  primary "))));
  EXPECT_THAT(OverviewJson(facts)[0],
              HasSubstr("\"primary_silent_ns\":12345000000,\"primary_hangs\":true,\"snapshots\""));
  facts.holder_stopped = true;
  EXPECT_THAT(OverviewText(facts),
              Contains("primary          pid 42, stopped by a signal or a debugger, no sign of life for 12.3 s"));
  EXPECT_THAT(OverviewJson(facts)[0], HasSubstr("\"primary_hangs\":true,\"primary_stopped\":true,"));
  // Another one, which just died or follows, does not hang.
  facts.replicas[0].facts.process.pid = 43;
  EXPECT_THAT(OverviewText(facts), Contains(StartsWith("        43  alive  primary ")));
}

TEST(KekbitOverviewTest, WhatIsWrongIsSaid) {
  JournalFacts facts;
  facts.poisoned = 7;
  facts.lease_held = true;
  facts.end_status = absl::DataLossError("segment 3 is damaged");
  EXPECT_THAT(OverviewText(facts), AllOf(Contains("poisoned         segment 7: a sync of it has failed"),
                                         Contains("unreadable       segment 3 is damaged"),
                                         Contains("primary          somebody holds the lease and does not say who"),
                                         Contains("frames           none")));
  EXPECT_THAT(OverviewJson(facts)[0],
              AllOf(StartsWith("{\"kind\":\"journal\""),
                    HasSubstr("\"poisoned\":7,\"lease\":\"held\",\"snapshots\":0,\"replicas_alive\":0"),
                    HasSubstr("\"reason\":\"segment 3 is damaged\"")));
}

}  // namespace
}  // namespace kekbit

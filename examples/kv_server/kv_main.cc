// kv_server: a key-value service with a hot standby, which speaks the Redis protocol.
//
//   kv_server --directory /tmp/kv     # first: the primary, on port 6379
//   kv_server --directory /tmp/kv     # again, elsewhere: the standby; takes over, port and all, when the primary dies
//   redis-cli set greeting hello

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "examples/argument_checks.h"
#include "examples/kv_server/kv_commands.h"
#include "examples/kv_server/kv_server.h"
#include "examples/kv_server/kv_service.h"
#include "examples/kv_server/kv_socket.h"
#include "examples/kv_server/kv_state.h"
#include "kekbit/base/callers_directory.h"
#include "kekbit/base/file_system.h"
#include "kekbit/replication/archive/object_store.h"
#include "kekbit/replication/archive/open_store.h"
#include "kekbit/replication/journal/journal_layout.h"
#include "kekbit/replication/replica.h"

namespace kekbit::examples {
namespace {

int Fail(const absl::Status& status) {
  Say(status.message());
  return 1;
}

// Reads the whole journal, as a replica that never leads, and shows a digest of the resulting
// state.
int PrintDigest(ReplicaOptions options) {
  // A replica would make it.
  const JournalLayout layout(options.directory);
  const auto segments = layout.ListSegments(FileSystem::Posix());
  if (!segments.ok()) return Fail(segments.status());
  if (segments->empty()) return Fail(absl::NotFoundError(absl::StrCat(options.directory, ": there is no journal")));
  options.may_lead = false;
  options.threads = false;
  const auto replica = Replica<KvState>::Open(std::move(options));
  if (!replica.ok()) return Fail(replica.status());
  const auto [keys, digest] = (*replica)->Read([](const KvState& s) { return std::pair(s.keys().size(), s.digest()); });
  std::printf("seq %llu keys %zu digest %016llx\n", static_cast<unsigned long long>((*replica)->applied().seq), keys,
              static_cast<unsigned long long>(digest));
  return 0;
}

int Serve(ReplicaOptions replica_options, KvServerOptions server_options, const std::string& archive) {
  std::unique_ptr<ObjectStore> store;
  if (!archive.empty()) {
    auto opened = OpenStore(FileSystem::Posix(), archive);
    if (!opened.ok()) return Fail(opened.status());
    store = *std::move(opened);
    replica_options.archive.store = store.get();
  }
  server_options.ack = replica_options.ack;
  server_options.directory = replica_options.directory;
  server_options.segment_bytes = replica_options.segment_bytes;
  auto server = KvServer::Create(std::move(server_options));
  if (!server.ok()) return Fail(server.status());
  const std::string directory = replica_options.directory;
  replica_options.on_takeover = [](const TakeoverReport& report) {
    Say(absl::StrCat("takeover: ", report.ToString()));
  };
  replica_options.on_role_change = [&server](Role /*role*/, Epoch /*epoch*/) { (*server)->Wake(); };
  auto replica = Replica<KvState>::Open(std::move(replica_options));
  if (!replica.ok()) return Fail(replica.status());
  // A moment for a replica that finds the journal free; then it is worth a word.
  if (!(*replica)->WaitForRole(Role::kPrimary, absl::Milliseconds(200)) && (*replica)->role() == Role::kFollower) {
    const absl::Status status = (*replica)->status();
    Say(absl::StrCat("standby on ", directory, " at seq ", (*replica)->applied().seq, ", pid ", ::getpid(),
                     status.ok() ? "; takes over when the primary is gone" : "; can't become primary, trying again: ",
                     status.message()));
  }
  const absl::Status status = (*server)->Run(**replica);
  if (status.ok()) return 0;
  // Why a replica stops is in its log.
  return (*replica)->role() == Role::kStopped ? 1 : Fail(status);
}

int Main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c): can't fail for these arguments
  CLI::App app(
      "A key-value service with a hot standby, which speaks the Redis protocol.\n"
      "Started again on the same directory it is the standby: it listens when the primary has died.");
  app.footer(absl::StrCat("Commands: ", absl::AsciiStrToUpper(absl::StrJoin(KvCommandNames(), " ")),
                          ".\nWhat Redis has beyond these, and what differs: examples/kv_server/README.md."));
  ReplicaOptions replica;
  KvServerOptions server;
  bool digest = false;
  double hung_s = 0;
  app.add_option("-d,--directory", replica.directory, "Directory of the journal; made if it is not there")->required();
  app.add_option("-p,--port", server.port, "Port to listen on")->check(CLI::Range(1, 65535))->capture_default_str();
  app.add_option("--bind", server.bind, "Address to listen on, in numbers. Nothing is encrypted: mind who can reach it")
      ->capture_default_str();
  app.add_option("--requirepass", server.password, "Password that clients have to say by AUTH or HELLO; empty: none");
  app.add_option_function<std::string>(
         "--ack",
         [&replica](const std::string& stage) { replica.ack = stage == "synced" ? Ack::kSynced : Ack::kPublished; },
         "When a command is answered: once it survives the death of the process (published), or power loss (synced)")
      ->type_name("STAGE")
      ->check(CLI::IsMember({"published", "synced"}))
      ->default_str("published");
  app.add_option("--segment-bytes", replica.segment_bytes,
                 "Size of each file of the journal; a command takes 1/128 of it")
      ->check(CLI::Range(64u << 10, 4'000'000'000u))
      ->capture_default_str();
  app.add_option("--max-clients", server.clients_max, "Most clients at the same time")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--max-output-bytes", server.output_bytes_max,
                 "Most bytes of answers that a client has not read yet; with more it is disconnected")
      ->check(CheckCount)
      ->capture_default_str();
  app.add_option("--kill-hung-after", hung_s,
                 "After so long without a sign of life the standby kills the primary; 0: never")
      ->check(CheckSeconds)
      ->type_name("SECONDS")
      ->capture_default_str();
  auto* const every = app.add_option("--snapshot-every", replica.snapshots.frames,
                                     "Commands after which the standby takes a snapshot, and the journal is cut behind "
                                     "the one before; 0: never")
                          ->check(CheckCount)
                          ->capture_default_str();
  app.add_flag("--snapshot-on-primary", replica.snapshots.on_primary,
               "The primary takes them, too, and answers nobody meanwhile: for one without a standby")
      ->needs(every);
  std::string archive;
  app.add_option("--archive", archive, kArchiveHelp)->type_name("TO");
  double port_timeout_s = 10;
  app.add_option("--port-timeout", port_timeout_s, "For how long to wait for a port that is in use")
      ->check(CheckSeconds)
      ->type_name("SECONDS")
      ->capture_default_str();
  app.add_flag("--digest", digest, "Only read the journal, print how far it goes and a digest of the state, and exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (hung_s > 0) replica.kill_hung_primary_after = absl::Seconds(hung_s);
  server.port_timeout = absl::Seconds(port_timeout_s);
  return digest ? PrintDigest(std::move(replica)) : Serve(std::move(replica), std::move(server), archive);
}

}  // namespace
}  // namespace kekbit::examples

int main(int argc, char** argv) {
  kekbit::EnterCallersDirectory();
  return kekbit::examples::Main(argc, argv);
}

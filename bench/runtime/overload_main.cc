// Overload: feeds a pipeline through a pipe as fast as it takes, reads its output at a limited rate, and watches its
// memory.
//   overload_bench FRESHET PIPELINE STATE SECONDS GIGABYTES
// The reader's rate is set so that GIGABYTES pass in SECONDS; the writer could give ten times as much and more (it says
// how much: measured against a pipe whose reader only reads). Ends with the curve of resident memory and its slope by
// least squares from the second minute on.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/rng.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kBlockBytes = 1 << 20;
constexpr int kPipeBytes = 1 << 20;
constexpr int64_t kFirstMs = 1700000000000;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Records of one length, so that only the time has to be written anew: 20,000 a second of event time.
class Records {
 public:
  Records() {
    freshet::Rng rng(7);
    while (block_.size() < kBlockBytes) {
      char line[200];
      std::snprintf(line, sizeof line,
                    "{\"at\":%013lld,\"device\":\"device-%05llu\",\"load\":%06llu,\"note\":\"%060d\"}\n",
                    static_cast<long long>(kFirstMs), static_cast<unsigned long long>(rng.Below(10000)),
                    static_cast<unsigned long long>(100000 + rng.Below(900000)), 0);
      if (length_ == 0) length_ = std::strlen(line);
      block_ += line;
    }
  }
  const std::string& Next() {
    for (size_t at = 0; at < block_.size(); at += length_) {
      int64_t ms = kFirstMs + count_++ / 20;
      for (size_t digit = at + 6 + 12;; --digit) {
        block_[digit] = static_cast<char>('0' + ms % 10);
        ms /= 10;
        if (digit == at + 6) break;
      }
    }
    return block_;
  }

 private:
  std::string block_;
  size_t length_ = 0;
  int64_t count_ = 0;
};

bool WriteAll(int fd, const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t n = write(fd, bytes.data() + at, bytes.size() - at);
    if (n <= 0) return false;
    at += static_cast<size_t>(n);
  }
  return true;
}

/// What the writer can give when nobody holds it back, bytes a second.
double RateUnheld() {
  int ends[2];
  if (pipe(ends) != 0) return 0;
  (void)fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes);
  std::thread reader([&] {
    std::string buffer(kPipeBytes, '\0');
    while (read(ends[0], buffer.data(), buffer.size()) > 0) {
    }
  });
  Records records;
  const auto start = Clock::now();
  int64_t bytes = 0;
  while (SecondsSince(start) < 2) {
    const std::string& block = records.Next();
    if (!WriteAll(ends[1], block)) break;
    bytes += static_cast<int64_t>(block.size());
  }
  const double rate = static_cast<double>(bytes) / SecondsSince(start);
  close(ends[1]);
  reader.join();
  close(ends[0]);
  return rate;
}

double ResidentMegabytes(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string word;
  while (status >> word) {
    double kilobytes = 0;
    if (word == "VmRSS:" && status >> kilobytes) return kilobytes / 1024;
  }
  return 0;
}

struct Sample {
  double seconds;
  double megabytes;
};

double SlopePerMinute(const std::vector<Sample>& samples) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (const Sample& s : samples) {
    const double minutes = s.seconds / 60;
    ++n, x += minutes, y += s.megabytes, xx += minutes * minutes, xy += minutes * s.megabytes;
  }
  const double spread = n * xx - x * x;
  return spread == 0 ? 0 : (n * xy - x * y) / spread;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "overload_bench FRESHET PIPELINE STATE SECONDS GIGABYTES\n");
    return 2;
  }
  const double seconds = std::atof(argv[4]);
  const double bytes_wanted = std::atof(argv[5]) * 1e9;
  signal(SIGPIPE, SIG_IGN);
  const double unheld = RateUnheld();
  int in[2], out[2];
  if (pipe(in) != 0 || pipe(out) != 0) return 1;
  for (const int fd : {in[1], out[0]}) (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
  (void)fcntl(in[1], F_SETPIPE_SZ, kPipeBytes);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    execl(argv[1], argv[1], "run", argv[2], "--state", argv[3], "--fresh", "--http", "off", nullptr);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);

  std::atomic<int64_t> written{0}, received{0};
  std::atomic<bool> stop{false};
  const auto start = Clock::now();
  std::thread writer([&] {
    Records records;
    while (!stop) {
      const std::string& block = records.Next();
      if (!WriteAll(in[1], block)) break;
      written += static_cast<int64_t>(block.size());
    }
    close(in[1]);
  });
  // The reader takes so much that what was written keeps to its plan: it is what limits the whole.
  std::thread reader([&] {
    std::string buffer(1 << 16, '\0');
    for (;;) {
      const double planned = bytes_wanted * SecondsSince(start) / seconds;
      if (!stop && static_cast<double>(written) > planned) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      const ssize_t n = read(out[0], buffer.data(), buffer.size());
      if (n <= 0) break;
      received += n;
    }
  });

  std::vector<Sample> samples;
  while (SecondsSince(start) < seconds) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) == pid) {
      std::fprintf(stderr, "freshet ended early\n");
      return 1;
    }
    samples.push_back({SecondsSince(start), ResidentMegabytes(pid)});
    if (samples.size() % 20 == 0) {
      std::printf("%5.0f s  %7.1f MB  in %6.2f GB  out %6.2f GB\n", samples.back().seconds, samples.back().megabytes,
                  static_cast<double>(written) / 1e9, static_cast<double>(received) / 1e9);
      std::fflush(stdout);
    }
  }
  const double in_bytes = static_cast<double>(written);
  stop = true;
  writer.join();
  reader.join();
  int status = 0;
  waitpid(pid, &status, 0);
  std::vector<Sample> settled;
  double peak = 0;
  for (const Sample& s : samples) {
    peak = std::max(peak, s.megabytes);
    if (s.seconds >= std::min(60.0, seconds / 4)) settled.push_back(s);
  }
  const double rate = in_bytes / seconds;
  std::printf(
      "%.1f GB in %.0f s: %.0f MB/s taken, %.0f MB/s could be given (%.1f times); peak %.1f MB, slope %.2f MB/min; "
      "exit code %d\n",
      in_bytes / 1e9, seconds, rate / 1e6, unheld / 1e6, unheld / rate, peak, SlopePerMinute(settled),
      WIFEXITED(status) ? WEXITSTATUS(status) : 128);
  return 0;
}

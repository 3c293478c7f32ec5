// A game that runs at 60 frames a second asks for decisions without waiting for them: a worker thread decides, the game
// polls. Prints the worst time that a frame's own work took. game_loop [MODEL]
#include <needle_rs.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

using Clock = std::chrono::steady_clock;

constexpr std::string_view TOOLS = R"([
  {"name": "attack", "description": "Send the squad to attack a target.",
   "parameters": {"type": "object", "properties": {"target": {"type": "string"}}, "required": ["target"]}},
  {"name": "build", "description": "Build a structure.",
   "parameters": {"type": "object", "properties": {"structure": {"type": "string", "enum": ["tower", "wall", "farm"]}},
                  "required": ["structure"]}},
  {"name": "retreat", "description": "Call the squad back to base.",
   "parameters": {"type": "object", "properties": {}}}])";

/// One question at a time, answered on a thread of its own.
class Adviser {
 public:
  Adviser(const needle::Model& model, const needle::Catalogue& catalogue)
      : catalogue_(catalogue), session_(model), worker_([this] { work(); }) {}

  ~Adviser() {
    stopping_ = true;
    cancel_.set(true);
    worker_.join();
  }

  /// Never waits; false while the last question is being answered.
  bool ask(std::string question) {
    if (busy_.load(std::memory_order_acquire)) return false;
    question_ = std::move(question);
    busy_.store(true, std::memory_order_release);
    return true;
  }

  /// Never waits; the answer is given once.
  std::optional<std::string> poll() {
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock) return std::nullopt;
    return std::exchange(answer_, std::nullopt);
  }

 private:
  void work() {
    while (!stopping_) {
      if (!busy_.load(std::memory_order_acquire)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      std::string answer;
      try {
        const needle::Decision decision = session_.decide(catalogue_, question_, {}, &cancel_);
        answer = decision.is_call() ? std::string(decision.name(0)) : "ask the large model";
      } catch (const needle::Error& error) {
        answer = error.what();
      }
      const std::lock_guard lock(mutex_);
      answer_ = std::move(answer);
      busy_.store(false, std::memory_order_release);
    }
  }

  const needle::Catalogue& catalogue_;
  needle::Session session_;
  needle::Cancel cancel_;
  std::string question_;
  std::optional<std::string> answer_;
  std::mutex mutex_;
  std::atomic<bool> busy_{false}, stopping_{false};
  std::thread worker_;
};

int main(int argc, char** argv) try {
  const needle::Model model = argc > 1 ? needle::Model::open(argv[1]) : needle::Model::embedded();
  const needle::Catalogue catalogue(model, TOOLS);
  Adviser adviser(model, catalogue);

  const char* const questions[] = {"attack the northern camp", "build a tower", "everyone back to base", "how are you"};
  constexpr auto FRAME = std::chrono::microseconds(16667);
  std::chrono::duration<double, std::milli> worst{};
  int asked = 0, answered = 0;
  auto next = Clock::now();
  for (int frame = 0; frame < 180; frame++) {
    const auto start = Clock::now();
    if (adviser.ask(questions[asked % 4])) asked++;
    if (const auto answer = adviser.poll()) {
      answered++;
      if (answered <= 4) std::printf("frame %d: %s\n", frame, answer->c_str());
    }
    const std::chrono::duration<double, std::milli> took = Clock::now() - start;
    if (took > worst) worst = took;
    next += FRAME;
    std::this_thread::sleep_until(next);
  }
  std::printf("%d answers in 180 frames; the worst frame spent %.3f ms on them\n", answered, worst.count());
  return answered > 0 ? 0 : 1;
} catch (const needle::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}

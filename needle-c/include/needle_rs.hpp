// needle_rs.h for C++17: handles that free themselves, errors as exceptions. Header-only; link the C library.
#ifndef NEEDLE_RS_HPP
#define NEEDLE_RS_HPP

#include <needle_rs.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace needle {

/// What the library reports: a caller's or a file's fault. Doubt is no error but a decision to hand off.
class Error : public std::runtime_error {
 public:
  Error(ndl_status status, const char* message) : std::runtime_error(message), status_(status) {}
  /// Which kind of error, for programs; what() is for people.
  [[nodiscard]] ndl_status status() const noexcept { return status_; }

 private:
  ndl_status status_;
};

namespace detail {

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* handle) const noexcept { Free(handle); }
};

template <typename T, void (*Free)(T*)>
using Handle = std::unique_ptr<T, Deleter<T, Free>>;

/// Calls a function that makes a T; throws if it reports an error.
template <typename T, typename Make>
T* make(Make&& call) {
  ndl_error error{};
  error.struct_size = sizeof error;
  T* made = nullptr;
  const ndl_status status = call(&made, &error);
  if (status != NDL_OK) throw Error(status, error.message);
  return made;
}

}  // namespace detail

/// A network with its tokenizer and calibration. Immutable: any thread may use it.
class Model {
 public:
  /// The model that is compiled into the library.
  static Model embedded() { return Model(detail::make<ndl_model>(ndl_model_embedded)); }
  /// A bundle directory, or a bundle in one file.
  static Model open(std::string_view path) {
    return Model(detail::make<ndl_model>(
        [&](auto out, auto error) { return ndl_model_open(path.data(), path.size(), out, error); }));
  }
  /// A bundle in one file that is in memory; the bytes are copied.
  static Model from_buffer(const void* data, std::size_t size) {
    return Model(detail::make<ndl_model>([&](auto out, auto error) {
      return ndl_model_from_buffer(static_cast<const std::uint8_t*>(data), size, out, error);
    }));
  }
  [[nodiscard]] const ndl_model* get() const noexcept { return handle_.get(); }

 private:
  explicit Model(ndl_model* handle) : handle_(handle) {}
  detail::Handle<ndl_model, ndl_model_free> handle_;
};

/// Compiled tools. Immutable: any thread may use it.
class Catalogue {
 public:
  /// Compiles a JSON list of definitions of any common format.
  Catalogue(const Model& model, std::string_view tools)
      : handle_(detail::make<ndl_catalogue>([&](auto out, auto error) {
          return ndl_catalogue_compile(model.get(), tools.data(), tools.size(), out, error);
        })) {}
  [[nodiscard]] std::size_t size() const noexcept { return ndl_catalogue_size(handle_.get()); }
  [[nodiscard]] const ndl_catalogue* get() const noexcept { return handle_.get(); }

 private:
  detail::Handle<ndl_catalogue, ndl_catalogue_free> handle_;
};

/// A flag that ends a decision from another thread.
class Cancel {
 public:
  Cancel() : handle_(ndl_cancel_new()) {}
  void set(bool cancelled) noexcept { ndl_cancel_set(handle_.get(), cancelled); }
  [[nodiscard]] const ndl_cancel* get() const noexcept { return handle_.get(); }

 private:
  detail::Handle<ndl_cancel, ndl_cancel_free> handle_;
};

/// Settings of one decision, filled with the defaults.
struct Options : ndl_options {
  Options() : ndl_options() { ndl_options_init(this); }
};

/// Calls to make, or a hand-off. The text that it returns lives as long as it does.
class Decision {
 public:
  explicit Decision(ndl_decision* handle) : handle_(handle) {}

  [[nodiscard]] bool is_call() const noexcept { return reason() == NDL_REASON_NONE; }
  [[nodiscard]] ndl_reason reason() const noexcept { return ndl_decision_reason(handle_.get()); }
  [[nodiscard]] std::size_t size() const noexcept { return ndl_decision_call_count(handle_.get()); }
  [[nodiscard]] std::string_view name(std::size_t call) const noexcept {
    return lent([&](auto size) { return ndl_decision_call_name(handle_.get(), call, size); });
  }
  /// A JSON object that is valid against the tool's schema.
  [[nodiscard]] std::string_view arguments(std::size_t call) const noexcept {
    return lent([&](auto size) { return ndl_decision_call_arguments(handle_.get(), call, size); });
  }
  [[nodiscard]] std::string_view detail() const noexcept {
    return lent([&](auto size) { return ndl_decision_detail(handle_.get(), size); });
  }
  [[nodiscard]] std::string_view json() const noexcept {
    return lent([&](auto size) { return ndl_decision_json(handle_.get(), size); });
  }
  /// The probability that the answer is right; none if the model is not calibrated or was not asked.
  [[nodiscard]] std::optional<float> confidence() const noexcept {
    float value = 0;
    return ndl_decision_confidence(handle_.get(), &value) ? std::optional<float>(value) : std::nullopt;
  }
  [[nodiscard]] double total_ms() const noexcept { return ndl_decision_total_ms(handle_.get()); }

 private:
  template <typename Get>
  static std::string_view lent(Get&& get) noexcept {
    std::size_t size = 0;
    const char* const text = get(&size);
    return text == nullptr ? std::string_view() : std::string_view(text, size);
  }
  detail::Handle<ndl_decision, ndl_decision_free> handle_;
};

/// Buffers of one thread's decisions: one thread at a time may use it.
class Session {
 public:
  explicit Session(const Model& model, std::uint32_t threads = 1)
      : handle_(detail::make<ndl_session>(
            [&](auto out, auto error) { return ndl_session_new(model.get(), threads, out, error); })) {}

  /// Decides one query; throws Error with NDL_ERROR_CANCELLED once `cancel` is set.
  Decision decide(const Catalogue& catalogue, std::string_view query, const Options& options = {},
                  const Cancel* cancel = nullptr) {
    ndl_hooks hooks{};
    hooks.struct_size = sizeof hooks;
    hooks.cancel = cancel == nullptr ? nullptr : cancel->get();
    return Decision(detail::make<ndl_decision>([&](auto out, auto error) {
      return ndl_decide(handle_.get(), catalogue.get(), query.data(), query.size(), &options, &hooks, out, error);
    }));
  }

 private:
  detail::Handle<ndl_session, ndl_session_free> handle_;
};

}  // namespace needle

#endif

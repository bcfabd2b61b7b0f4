#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace freshet {

/// Appends little-endian values to a string: the one way in which Freshet writes state. See engine/state/FORMAT.md.
class ByteSink {
 public:
  void PutU8(uint8_t v) { bytes_.push_back(static_cast<char>(v)); }
  void PutBool(bool v) { PutU8(v ? 1 : 0); }
  void PutU16(uint16_t v) { PutFixed(v); }
  void PutU32(uint32_t v) { PutFixed(v); }
  void PutU64(uint64_t v) { PutFixed(v); }
  void PutI64(int64_t v) { PutFixed(static_cast<uint64_t>(v)); }
  void PutF64(double v) { PutFixed(std::bit_cast<uint64_t>(v)); }
  void PutVarint(uint64_t v) {
    while (v >= 0x80) {
      PutU8(static_cast<uint8_t>(v | 0x80));
      v >>= 7;
    }
    PutU8(static_cast<uint8_t>(v));
  }
  /// Length (varint), then the bytes.
  void PutString(std::string_view v) {
    PutVarint(v.size());
    bytes_.append(v);
  }
  /// The bytes alone.
  void PutBytes(std::string_view v) { bytes_.append(v); }
  const std::string& bytes() const { return bytes_; }
  std::string Take() { return std::move(bytes_); }
  void Clear() { bytes_.clear(); }
  size_t size() const { return bytes_.size(); }

 private:
  template <class T>
  void PutFixed(T v) {
    static_assert(std::endian::native == std::endian::little);
    char raw[sizeof v];
    std::memcpy(raw, &v, sizeof v);
    bytes_.append(raw, sizeof v);
  }
  std::string bytes_;
};

/// Reads what ByteSink wrote. A read past the end gives zeros and makes ok() false for ever: check once, at the end.
class ByteSource {
 public:
  explicit ByteSource(std::string_view bytes) : bytes_(bytes) {}
  uint8_t GetU8() { return GetFixed<uint8_t>(); }
  bool GetBool() { return GetU8() != 0; }
  uint16_t GetU16() { return GetFixed<uint16_t>(); }
  uint32_t GetU32() { return GetFixed<uint32_t>(); }
  uint64_t GetU64() { return GetFixed<uint64_t>(); }
  int64_t GetI64() { return static_cast<int64_t>(GetFixed<uint64_t>()); }
  double GetF64() { return std::bit_cast<double>(GetFixed<uint64_t>()); }
  uint64_t GetVarint() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = GetU8();
      v |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return v;
    }
    ok_ = false;
    return 0;
  }
  /// A view into the source's bytes.
  std::string_view GetString() { return GetBytes(GetVarint()); }
  std::string_view GetBytes(size_t n) {
    if (n > bytes_.size()) {
      ok_ = false;
      bytes_ = {};
      return {};
    }
    const std::string_view v = bytes_.substr(0, n);
    bytes_.remove_prefix(n);
    return v;
  }
  bool ok() const { return ok_; }
  bool exhausted() const { return bytes_.empty(); }
  size_t remaining() const { return bytes_.size(); }

 private:
  template <class T>
  T GetFixed() {
    T v{};
    if (bytes_.size() < sizeof v) {
      ok_ = false;
      bytes_ = {};
      return v;
    }
    std::memcpy(&v, bytes_.data(), sizeof v);
    bytes_.remove_prefix(sizeof v);
    return v;
  }
  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace freshet

#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace freshet {

/// A block of memory with a reference count, 64-byte aligned, from a lock-free recycling pool. Contents are mutable
/// until the buffer becomes part of a Column; from then on nobody writes. 64 spare bytes always follow `capacity`, so
/// that a wide load at the end stays inside.
class Buffer {
 public:
  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  int64_t capacity() const { return capacity_; }

 private:
  friend class BufferRef;
  friend class BufferPool;
  std::atomic<int32_t> references_{0};
  int32_t size_class_ = -1;
  int64_t capacity_ = 0;
  uint8_t* data_ = nullptr;
};

/// Shared handle to a Buffer; copying is cheap and thread-safe.
class BufferRef {
 public:
  BufferRef() = default;
  explicit BufferRef(Buffer* buffer) : buffer_(buffer) { Acquire(); }
  BufferRef(const BufferRef& other) : buffer_(other.buffer_) { Acquire(); }
  BufferRef(BufferRef&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)) {}
  BufferRef& operator=(BufferRef other) noexcept {
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~BufferRef() { Release(); }
  explicit operator bool() const { return buffer_ != nullptr; }
  Buffer* operator->() const { return buffer_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(buffer_->data());
  }
  /// True if this is the only handle, so that the buffer may be written or grown in place.
  bool unique() const { return buffer_ != nullptr && buffer_->references_.load(std::memory_order_acquire) == 1; }

 private:
  void Acquire() {
    if (buffer_ != nullptr) buffer_->references_.fetch_add(1, std::memory_order_relaxed);
  }
  void Release();
  Buffer* buffer_ = nullptr;
};

/// A buffer of at least `bytes` (contents undefined) from the process-wide pool. Thread-safe, lock-free when recycled.
BufferRef AllocateBuffer(int64_t bytes);
/// The same, zeroed.
BufferRef AllocateZeroedBuffer(int64_t bytes);
/// A buffer of at least `bytes` that starts with the first `used` bytes of `old`.
BufferRef GrowBuffer(const BufferRef& old, int64_t used, int64_t bytes);
/// `buffer`, or if it is much larger than the `used` bytes of it, a buffer for these.
BufferRef ShrinkBuffer(BufferRef buffer, int64_t used);

/// What the pool holds and has given out, in bytes; for metrics.
struct BufferPoolStats {
  int64_t allocated_bytes = 0;  ///< from the system, in use or waiting for reuse
  int64_t recycled_count = 0;   ///< buffers given out again
  int64_t fresh_count = 0;      ///< buffers newly taken from the system
};
BufferPoolStats GetBufferPoolStats();

}  // namespace freshet

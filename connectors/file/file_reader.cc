#include "connectors/file/file_reader.h"

#include <algorithm>
#include <utility>

#include "engine/base/log.h"

namespace freshet {

FileReader::FileReader(Env* env, const SourceFormat* format, std::string path, bool follow)
    : env_(env), format_(format), path_(std::move(path)), follow_(follow) {}

Status FileReader::Open(const std::optional<FilePosition>& restored) {
  return restored ? Resume(*restored) : Start(path_, FilePosition{});
}

/// Opens `path` and learns its beginning; the stream stands at offset 0.
Status FileReader::Attach(const std::string& path) {
  Close();
  FRESHET_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> file, env_->OpenReadable(path));
  FRESHET_ASSIGN_OR_RETURN(info_, file->Stat());
  if (info_.is_directory)
    return Status::InvalidArgument(path + " is a directory; name the files in it: " + path + "/*");
  prefix_.clear();
  if (info_.is_regular) {
    prefix_.resize(static_cast<size_t>(kFingerprintBytes));
    int64_t size = 0;
    while (size < kFingerprintBytes) {
      FRESHET_ASSIGN_OR_RETURN(const int64_t n, file->Read(prefix_.data() + size, kFingerprintBytes - size));
      if (n == 0) break;
      size += n;
    }
    prefix_.resize(static_cast<size_t>(size));
    FRESHET_RETURN_IF_ERROR(file->Seek(0));
  }
  FRESHET_ASSIGN_OR_RETURN(stream_, OpenByteStream(std::move(file), path));
  if (follow_ && stream_->compressed())
    return Status::Unsupported(path + " is compressed and cannot be followed; drop `follow: true`");
  return Status::Ok();
}

Status FileReader::Start(const std::string& path, const FilePosition& at) {
  if (stream_ == nullptr) FRESHET_RETURN_IF_ERROR(Attach(path));
  int64_t header = 0;
  if (at.offset > 0) {
    if (format_->headers != nullptr) {
      FRESHET_ASSIGN_OR_RETURN(header, ReadHeaderId(path));
    }
    FRESHET_RETURN_IF_ERROR(stream_->Skip(at.offset));
  }
  read_offset_ = at.offset;
  records_ = std::make_unique<RecordReader>(format_, path, at.offset, at.record, header);
  return Status::Ok();
}

/// Whether the open file is the one in which the position was taken.
Result<bool> FileReader::Matches(const FilePosition& at) const {
  const auto bytes = static_cast<size_t>(at.fingerprint_bytes);
  if (prefix_.size() < bytes || Fingerprint(std::string_view(prefix_).substr(0, bytes)) != at.fingerprint) return false;
  return stream_->compressed() || info_.size >= at.offset;
}

Status FileReader::Resume(const FilePosition& at) {
  if (Status status = Attach(path_); !status.ok() && !(follow_ && status.code() == StatusCode::kNotFound))
    return status;
  if (stream_ != nullptr) {
    FRESHET_ASSIGN_OR_RETURN(const bool same, Matches(at));
    if (same && (!follow_ || info_.inode == at.inode)) return Start(path_, at);
    if (!follow_)
      return Status::InvalidArgument(path_ +
                                     " is not the file that was being read when the state was saved (replaced or cut); "
                                     "bring it back, or start over with --fresh");
  }
  const std::string rotated = FindRotated(at);
  Close();
  if (!rotated.empty()) {
    FRESHET_RETURN_IF_ERROR(Attach(rotated));
    FRESHET_ASSIGN_OR_RETURN(const bool same, Matches(at));
    if (same) return Start(rotated, at);
    Close();
  }
  Log(LogLevel::kWarning, "the followed file was cut or replaced while nobody read it; starting at its beginning",
      {{"file", path_}});
  FilePosition fresh;
  fresh.record = at.record;
  return Start(path_, fresh);
}

/// The file of the position's inode beside `path_`, as logrotate leaves it.
std::string FileReader::FindRotated(const FilePosition& at) const {
  const std::string directory = DirectoryOf(path_);
  const Result<std::vector<std::string>> names = env_->List(directory);
  if (!names.ok()) return "";
  for (const std::string& name : *names) {
    const std::string candidate = ResolvePath(directory == "." ? "" : directory, name);
    if (candidate == path_) continue;
    const Result<FileInfo> info = env_->Stat(candidate);
    if (info.ok() && info->is_regular && info->inode == at.inode && info->size >= at.offset) return candidate;
  }
  return "";
}

Result<int64_t> FileReader::ReadHeaderId(const std::string& path) const {
  FRESHET_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> file, env_->OpenReadable(path));
  FRESHET_ASSIGN_OR_RETURN(const std::unique_ptr<ByteStream> stream, OpenByteStream(std::move(file), path));
  RecordReader reader(format_, path, 0, 0, 0);
  RawChunk first;
  FRESHET_ASSIGN_OR_RETURN(
      const RecordReader::Outcome outcome,
      reader.Next(
          {1, 1}, [&](char* into, int64_t size) { return stream->Read(into, size); }, true, &first));
  (void)outcome;
  return reader.header();
}

Result<int64_t> FileReader::ReadBytes(char* into, int64_t size) {
  FRESHET_ASSIGN_OR_RETURN(const int64_t n, stream_->Read(into, size));
  const auto known = static_cast<int64_t>(prefix_.size());
  if (!stream_->compressed() && known < kFingerprintBytes && read_offset_ <= known && read_offset_ + n > known)
    prefix_.append(into + (known - read_offset_),
                   static_cast<size_t>(std::min(kFingerprintBytes - known, read_offset_ + n - known)));
  read_offset_ += n;
  return n;
}

std::string FileReader::Position() const {
  FilePosition position;
  position.inode = info_.inode;
  // Only bytes behind which we have read belong to the fingerprint: the rest may still change.
  const int64_t sure = stream_->compressed() ? kFingerprintBytes : records_->offset();
  const std::string_view known =
      std::string_view(prefix_).substr(0, static_cast<size_t>(std::min<int64_t>(sure, kFingerprintBytes)));
  position.fingerprint = Fingerprint(known);
  position.fingerprint_bytes = static_cast<int32_t>(known.size());
  position.offset = records_->offset();
  position.record = records_->record();
  position.file_bytes = info_.size;
  return position.Encode();
}

Result<FileReader::Outcome> FileReader::Next(const PollBudget& budget, RawChunk* chunk) {
  if (ended_) return Outcome::kEnd;
  for (;;) {
    if (start_over_) {
      FRESHET_RETURN_IF_ERROR(Start(path_, *start_over_));
      start_over_.reset();
    }
    const bool final = !follow_ || replaced_;
    FRESHET_ASSIGN_OR_RETURN(
        const RecordReader::Outcome outcome,
        records_->Next(
            budget, [this](char* into, int64_t size) { return ReadBytes(into, size); }, final, chunk));
    if (!follow_) {
      ended_ = records_->drained();
      chunk->partition_end = ended_;
      chunk->position_after = Position();
      return Outcome::kChunk;  // an empty one only marks the end
    }
    if (outcome == RecordReader::Outcome::kChunk) {
      chunk->position_after = Position();
      return Outcome::kChunk;
    }
    FRESHET_ASSIGN_OR_RETURN(const bool again, MoveOn());
    if (!again) return Outcome::kWait;
  }
}

/// Following, at the end of what there is: looks whether the file was cut or replaced. True: read again.
Result<bool> FileReader::MoveOn() {
  const int64_t record = records_->record();
  const Result<FileInfo> named = env_->Stat(path_);
  if (replaced_) {
    // Read to its end under `final`; now the new file, if it is there yet.
    if (!named.ok()) return false;
    StartOver(record);
    return true;
  }
  if (!named.ok()) return false;  // moved away, and no new one yet: the writer may still write to the old one
  if (named->inode != info_.inode) {
    replaced_ = true;
    return true;
  }
  if (named->size < read_offset_) {
    Log(LogLevel::kWarning, "the followed file was cut; starting at its beginning",
        {{"file", path_}, {"was at", std::to_string(read_offset_)}});
    StartOver(record);
    return true;
  }
  return false;
}

/// The next Next opens the file anew; that may fail for a while, and must not lose the count of records.
void FileReader::StartOver(int64_t record) {
  Close();
  replaced_ = false;
  start_over_.emplace();
  start_over_->record = record;
}

void FileReader::Close() {
  stream_.reset();
  records_.reset();
  read_offset_ = 0;
}

}  // namespace freshet

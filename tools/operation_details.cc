#include "agentos/tools/operation_details.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/tools/text_encoding.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace agentos {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Of a payload: enough to recognise it by.
constexpr size_t kShownPayloadBytes = 64;

// The message of the operation; null when there is none.
const Message* OperationOf(const proto::v1::Entry& entry) {
  const auto* oneof = proto::v1::Entry::descriptor()->FindOneofByName("operation");
  const FieldDescriptor* field = entry.GetReflection()->GetOneofFieldDescriptor(entry, oneof);
  return field == nullptr ? nullptr : &entry.GetReflection()->GetMessage(entry, field);
}

void AppendPayload(const proto::v1::Payload& payload, std::vector<OperationDetail>& details) {
  details.push_back({"size", payload.size()});
  if (payload.data().empty()) return;
  std::string text = ToUtf8(payload.data().substr(0, kShownPayloadBytes));
  if (payload.size() > std::min(kShownPayloadBytes, payload.data().size())) text += "...";
  details.push_back({"data", std::move(text)});
}

void AppendField(const Message& message, const FieldDescriptor& field, std::vector<OperationDetail>& details) {
  const auto& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      details.push_back({field.name(), reflection.GetBool(message, &field)});
      break;
    case FieldDescriptor::CPPTYPE_INT32:
      details.push_back({field.name(), int64_t{reflection.GetInt32(message, &field)}});
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      details.push_back({field.name(), int64_t{reflection.GetInt64(message, &field)}});
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      details.push_back({field.name(), uint64_t{reflection.GetUInt32(message, &field)}});
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      details.push_back({field.name(), uint64_t{reflection.GetUInt64(message, &field)}});
      break;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const int number = reflection.GetEnumValue(message, &field);
      const auto* value = field.enum_type()->FindValueByNumber(number);
      details.push_back({field.name(), value == nullptr ? absl::StrCat(number) : value->name()});
      break;
    }
    case FieldDescriptor::CPPTYPE_STRING:
      details.push_back({field.name(), ToUtf8(reflection.GetString(message, &field))});
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (field.message_type() == proto::v1::Payload::descriptor()) {
        AppendPayload(static_cast<const proto::v1::Payload&>(reflection.GetMessage(message, &field)), details);
      }
      break;
    default:
      break;
  }
}

// An operand is listed although it is 0: offset 0 says something. A modifier is listed when it is set.
void AppendFields(const Message& message, bool only_set, std::vector<OperationDetail>& details) {
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    if (field.is_repeated()) continue;
    if ((only_set || field.has_presence()) && !message.GetReflection()->HasField(message, &field)) continue;
    AppendField(message, field, details);
  }
}

// The operand of that name as text; "" when there is none.
std::string OperandText(const Message& message, absl::string_view name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(std::string(name));
  if (field == nullptr) return "";
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) return ToUtf8(message.GetReflection()->GetString(message, field));
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT32)
    return absl::StrCat("fd ", message.GetReflection()->GetInt32(message, field));
  return "";
}

}  // namespace

std::string OperationNameOf(const proto::v1::Entry& entry) {
  const Message* operation = OperationOf(entry);
  return operation == nullptr ? "Unknown" : operation->GetDescriptor()->name();
}

std::string TargetOf(const proto::v1::Entry& entry) {
  const Message* operation = OperationOf(entry);
  if (operation == nullptr) return "";
  if (entry.has_ipc_send()) return absl::StrCat("pid ", entry.ipc_send().target_pid());
  if (entry.has_rename()) return absl::StrCat(ToUtf8(entry.rename().from()), " -> ", ToUtf8(entry.rename().to()));
  if (entry.has_splice()) return absl::StrCat("fd ", entry.splice().from_fd(), " -> fd ", entry.splice().to_fd());
  if (entry.has_copy_file_range()) {
    return absl::StrCat("fd ", entry.copy_file_range().from_fd(), " -> fd ", entry.copy_file_range().to_fd());
  }
  for (const absl::string_view name : {"path", "address", "fd"}) {
    std::string text = OperandText(*operation, name);
    if (!text.empty()) return text;
  }
  return "";
}

std::vector<OperationDetail> OperandsOf(const proto::v1::Entry& entry) {
  std::vector<OperationDetail> details;
  const Message* operation = OperationOf(entry);
  if (operation != nullptr) AppendFields(*operation, /*only_set=*/false, details);
  AppendFields(entry.modifiers(), /*only_set=*/true, details);
  return details;
}

bool MovesBytes(const proto::v1::Entry& entry) {
  switch (entry.operation_case()) {
    case proto::v1::Entry::kRead:
    case proto::v1::Entry::kWrite:
    case proto::v1::Entry::kReadFile:
    case proto::v1::Entry::kWriteFile:
    case proto::v1::Entry::kSend:
    case proto::v1::Entry::kRecv:
    case proto::v1::Entry::kRecvMany:
    case proto::v1::Entry::kReadInto:
    case proto::v1::Entry::kSendTo:
    case proto::v1::Entry::kRecvFrom:
    case proto::v1::Entry::kIpcSend:
    case proto::v1::Entry::kIpcRecv:
    case proto::v1::Entry::kSplice:
    case proto::v1::Entry::kCopyFileRange:
    case proto::v1::Entry::kRecvInto:
      return true;
    default:
      return false;
  }
}

std::string ErrnoNameOf(int error_number) {
  const char* name = strerrorname_np(error_number);
  return name == nullptr ? absl::StrCat("errno ", error_number) : name;
}

std::string ResultOf(const TracedOperation& operation) {
  if (!operation.ended) return "never ended";
  if (operation.cancelled) return "cancelled";
  if (operation.error_number != 0) return ErrnoNameOf(operation.error_number);
  return absl::StrCat(operation.value);
}

}  // namespace agentos

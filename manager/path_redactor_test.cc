#include "agentos/manager/path_redactor.h"

#include <string>

#include "absl/strings/match.h"
#include "agentos/proto/entry.pb.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

TEST(PathRedactor, KeepsTheShapeAndWhatIsTheSame) {
  PathRedactor redactor;
  EXPECT_EQ(redactor.Path("/home/ann/key.pem"), "/n1/n2/n3");
  EXPECT_EQ(redactor.Path("/home/bob/key.pem"), "/n1/n4/n3");
  EXPECT_EQ(redactor.Path("../ann/./x/"), "../n2/./n5/");
  EXPECT_EQ(redactor.Path("//home"), "//n1");
  EXPECT_EQ(redactor.Path("/"), "/");
  EXPECT_EQ(redactor.Path(""), "");
}

TEST(PathRedactor, OfAddressesOnlyThoseOfUnixSocketsArePaths) {
  PathRedactor redactor;
  EXPECT_EQ(redactor.Address("127.0.0.1:80"), "127.0.0.1:80");
  EXPECT_EQ(redactor.Address("[::1]:80"), "[::1]:80");
  EXPECT_EQ(redactor.Address("unix:/run/ann"), "unix:/n1/n2");
  EXPECT_EQ(redactor.Address("pid:7"), "pid:7");
}

TEST(PathRedactor, DoesNotGrowForEver) {
  PathRedactor redactor(2);
  EXPECT_EQ(redactor.Path("/a/b/c/a"), "/n1/n2/n/n1");
}

// Every bytes field of every operation but payloads is a path or an address.
TEST(PathRedactor, LeavesNoNameInAnyOperation) {
  const auto* oneof = proto::v1::Entry::GetDescriptor()->FindOneofByName("operation");
  size_t texts = 0;
  for (int i = 0; i < oneof->field_count(); ++i) {
    proto::v1::Entry entry;
    auto* message = entry.GetReflection()->MutableMessage(&entry, oneof->field(i));
    for (int j = 0; j < message->GetDescriptor()->field_count(); ++j) {
      const auto* field = message->GetDescriptor()->field(j);
      if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_STRING) continue;
      const bool address = field->name() == "address";
      message->GetReflection()->SetString(message, field, address ? "unix:/secret" : "/secret");
      ++texts;
    }
    PathRedactor().Redact(entry);
    EXPECT_FALSE(absl::StrContains(entry.DebugString(), "secret")) << entry.DebugString();
  }
  EXPECT_EQ(texts, 10u);
}

}  // namespace
}  // namespace agentos

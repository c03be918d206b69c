#include "agentos/bazel/testdata/parcel.pb.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

TEST(ProtoMacroTest, GeneratedCodeRoundTrips) {
  bazel::testdata::v1::Parcel parcel;
  parcel.mutable_label()->set_text("ring");
  parcel.mutable_sent_at()->set_seconds(7);

  bazel::testdata::v1::Parcel copy;
  ASSERT_TRUE(copy.ParseFromString(parcel.SerializeAsString()));
  EXPECT_EQ(copy.label().text(), "ring");
  EXPECT_EQ(copy.sent_at().seconds(), 7);
}

}  // namespace
}  // namespace agentos

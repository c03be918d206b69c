// Runs a fuzz target over files, as a test that needs no fuzzer: every file as it is, every beginning of it, and with every byte
// changed.
//
// The target is what libFuzzer calls. It stops the process when something is wrong, and so fails the test.
//
// Thread rule: main's thread. The files are the program's arguments.
//
//   extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
//     AGENTOS_CHECK(Decode(Encode(Decode(data, size))) == Decode(data, size));
//     return 0;
//   }

#ifndef AGENTOS_TESTING_CORPUS_TEST_H_
#define AGENTOS_TESTING_CORPUS_TEST_H_

#include <cstddef>
#include <cstdint>

// Answers 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

#endif  // AGENTOS_TESTING_CORPUS_TEST_H_

#!/bin/bash
# Runs a test with the executor that needs no io_uring.
AGENTOS_URING_EXECUTOR=threads exec "$@"

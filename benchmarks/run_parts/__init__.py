"""What benchmarks that go on from a finished run share."""

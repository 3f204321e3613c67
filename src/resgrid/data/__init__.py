"""The data: fetch and verify, decode, split, and read access."""

"""Programs as people write them, run as they run them, and read back."""

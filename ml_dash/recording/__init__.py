"""What users record with, and what is recorded for them."""

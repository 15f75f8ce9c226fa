"""What is claimed of the store, shown: each proof breaks something for real and audits what was acknowledged."""

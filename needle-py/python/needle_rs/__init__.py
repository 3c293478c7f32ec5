"""needle-rs: small tool calls decided locally."""

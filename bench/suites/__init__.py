"""The suites that come with attnlab, as TOML files."""

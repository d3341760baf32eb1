"""What `attnlab results` can do: one action a file, called as it is; `import_` is `import`, a word of Python."""

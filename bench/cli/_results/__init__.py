"""What `attnlab results` can do: one action a file, named as it is."""

"""What a report says of servers: loads, the first token, HTTP itself, prefix caches, the client, and each request."""

"""What comes from other tools, and what is written for them."""

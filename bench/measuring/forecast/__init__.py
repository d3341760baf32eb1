"""What a run will take, before it begins and while it goes on: its steps, their time by phase, and memory."""

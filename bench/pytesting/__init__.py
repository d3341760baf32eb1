"""What the pytest plugin is made of; its hooks are in `pytest_plugin`, and only they are loaded with pytest."""

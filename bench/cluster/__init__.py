"""A suite on a cluster: what is shipped to its nodes, what runs there, and which node measures which bundle."""

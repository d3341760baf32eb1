"""What runs in the processes of ranks: the calls that their group asks for."""

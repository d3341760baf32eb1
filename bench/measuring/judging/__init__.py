"""Who judges outputs: a process that has the contract and never the implementation; outputs come to it as bytes."""

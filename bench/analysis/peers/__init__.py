"""What other tools would make of a recorded load: their published definitions of TTFT, ITL, TPOT and goodput.

One tool a file, written from its source or documentation, which the file names. A file has `TOOL`, `SOURCE`, `WORDS`
(of each figure what differs from ours) and `figures`.
"""

"""What compilers make of kernels, without running them: launches are recorded, compiled for named targets, and read."""

"""A columnar copy of a folder of runs: Parquet files that are read through DuckDB, made and mended where they lack.

The run folders stay the truth. Whatever is wrong with the copy, it is made anew, or done without.
"""

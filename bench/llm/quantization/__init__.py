"""Weights of linear layers as codes: how they are stored (a format), and how the codes are chosen (a method).

A format and a method are one file each, found by walking `formats` and `methods`; adding one edits nothing else.
"""

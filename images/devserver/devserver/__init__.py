"""
ovms-numa devserver: a small model server that is not OpenVINO Model Server.

It runs the same engine (OpenVINO GenAI, continuous batching) over the same models directory, and
takes the flags and answers the paths of OpenVINO Model Server that ovms-numa relies on, with the
same status codes. It stands in where no registry has the real image.
"""

NAME = "ovms-numa devserver"
"""What it calls itself wherever OpenVINO Model Server would give its own name."""

VERSION = "1"

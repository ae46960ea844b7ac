"""
Gets a Pulumi engine and a Docker engine onto this machine.

Runs with the system's Python before any virtual environment exists: standard library only.
"""

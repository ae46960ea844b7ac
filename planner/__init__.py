"""Decides what runs where; knows nothing of Pulumi, Docker, files or the clock."""

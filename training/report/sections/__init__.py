"""Sections of the deviation report: figures of each, and how they are shown."""

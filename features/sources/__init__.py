"""Adapters that turn published or delivered files into portfolios, one publisher a module."""

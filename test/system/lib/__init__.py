"""Helpers of the system tests: processes, sockets, backends, hand-made peers."""

"""The parts of wire_record.py."""

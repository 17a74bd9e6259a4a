"""Sandbox backends: leaves that `loading.py` names; nobody imports them directly."""

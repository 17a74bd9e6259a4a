"""What runs inside a function's sandbox: the standard library and nothing of ours but the one file that is sent."""

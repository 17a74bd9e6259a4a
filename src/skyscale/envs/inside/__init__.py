"""Programs that run inside a sandbox beside a user's file; `envs.hosted` joins their texts. Standard library only.

`make(source, name)` loads the user's file and returns the function that answers requests: JSON text in, JSON text out.
The user's file may do anything to this interpreter; the other side checks all that is said.
"""

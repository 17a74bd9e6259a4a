"""Jobs: the processes of a run, kept in the state that is wanted, on whatever provider runs them.

Owns: the `jobs` table, job states, the scheduler, the provider contract and its leaves. May import: auth, events, store
and what lies below. Knows how a process is started (argv and environment), never what it does.
Start reading at `rules.py` (states and decisions), then `scheduler.py` (the loop), then `provider.py` (the contract).
"""

"""HTTP and nothing else: reads a request, asks one service, writes the reply.

Owns: routes, the error shape, middleware, the OpenAPI text. May import: every control-plane room. Holds no rules and
no SQL. Start reading at `app.py`, then `services.py`, then `routes/`.
"""

"""`python -m skyscale.policy`: a job of a run (three settings in the environment), or a server on its own (--model).

Arguments are parsed before torch is imported, so that a mistake in them is told at once.
"""

import argparse
import asyncio
import sys


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to end; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m skyscale.policy", description="Serve a model whose weights move.")
    parser.add_argument("--engine", default="torch", help="how to sample (default: torch)")
    parser.add_argument("--model", help="serve this model on its own, with no control plane")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    options = parser.parse_args(arguments)

    from uvicorn.loops.auto import auto_loop_factory  # after parsing: `--help` must not wait for torch

    from skyscale.errors import Gone, SkyscaleError
    from skyscale.policy.process import serve_alone, serve_job
    from skyscale.telemetry import logs

    logs.start()

    try:
        if options.model:
            serve = serve_alone(options.model, options.engine, options.host, options.port)
        else:
            serve = serve_job(options.engine, options.host, options.port)
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            return runner.run(serve)
    except Gone as e:
        print(f"the job has ended: {e.detail}", file=sys.stderr)  # noqa: T201 - a process's last word
        return 0
    except SkyscaleError as e:
        # On one line: the last one of its log is what a run tells of a job that ended.
        print(f"{e.detail}. {e.hint}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

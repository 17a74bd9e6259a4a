"""What runs in the zygote and in the episode: standard library only, started without site-packages or environment.

Everything here is imported as `sandboxes.backends.process.zygote`, outside our package, hence the relative imports.
It never holds a secret or an expected value. Start reading at `main.py`.
"""

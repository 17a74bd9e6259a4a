"""Deploys a function with the SDK, as a program does; SKYSCALE_URL and SKYSCALE_API_KEY say where and as whom."""

import skyscale
from skyscale.wire.functions import FunctionDeploy

CODE = """
def handler(event):
    print("asked by", event["name"])
    return {"greeting": "Hello " + event["name"]}
"""

with skyscale.Client.from_environment() as client:
    client.functions.deploy(FunctionDeploy(name="greet", code=CODE))

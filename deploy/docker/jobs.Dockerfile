# The images of a run's jobs, and one machine with everything. Build from the repository's root:
#   docker build -f deploy/docker/jobs.Dockerfile --target trainer -t skyscale/trainer .
# A job reads SKYSCALE_URL, SKYSCALE_JOB_TOKEN and SKYSCALE_JOB_ID.
FROM python:3.11-slim AS base
WORKDIR /app
COPY pyproject.toml README.md ./
COPY src src
RUN useradd --create-home skyscale && install -d -o skyscale /data

# HTTP and nothing else: no torch, no web server.
FROM base AS worker
RUN pip install --no-cache-dir .
USER skyscale
ENTRYPOINT ["python", "-m", "skyscale.worker"]

FROM base AS train
RUN pip install --no-cache-dir ".[train]"
USER skyscale

FROM train AS policy
EXPOSE 8000
ENTRYPOINT ["python", "-m", "skyscale.policy", "--host", "0.0.0.0", "--port", "8000"]

FROM train AS trainer
ENTRYPOINT ["python", "-m", "skyscale.trainer"]

# Control plane with jobs as its own processes.
FROM base AS machine
RUN pip install --no-cache-dir ".[all]"
USER skyscale
ENV SKYSCALE_DATA_DIR=/data HOST=0.0.0.0 PORT=8080
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["skyscale"]
CMD ["serve"]

# The control plane without torch: it never imports it. Build from the repository's root:
#   docker build -f deploy/docker/control-plane.Dockerfile -t skyscale/control-plane .
FROM python:3.11-slim
WORKDIR /app
COPY pyproject.toml README.md ./
COPY src src
RUN pip install --no-cache-dir ".[server]" && useradd --create-home skyscale && install -d -o skyscale /data
USER skyscale
ENV SKYSCALE_DATA_DIR=/data HOST=0.0.0.0 PORT=8080
VOLUME /data
EXPOSE 8080
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=3)"]
ENTRYPOINT ["skyscale"]
CMD ["serve"]

# An exported model behind HTTP, without torch. Build it in the tree, or in an unpacked source
# distribution:
#
#   docker build -t offline-trader .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges --init \
#     -p 127.0.0.1:8000:8000 -v "$PWD/serving:/serving:ro" -v desks:/logs offline-trader
#
# /serving holds policy.onnx with its manifest, serving.yaml, alerts.yaml, the token and, for an
# address that others reach, cert.pem and key.pem, all of them of user 10001; /logs is the only
# place that is written to.
FROM python:3.12-slim-bookworm AS build
WORKDIR /tree
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements-serve.lock ./
RUN python -m venv /opt/serve && /opt/serve/bin/pip install -r requirements-serve.lock
COPY pyproject.toml README.md LICENSE ./
COPY offline_trader offline_trader
COPY datasets datasets
COPY experts experts
COPY cli cli
COPY evaluation evaluation
RUN /opt/serve/bin/pip install --no-deps . && \
    /opt/serve/bin/python -m compileall -q /opt/serve/lib

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="offline-trader" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin trader && \
    install -d -o trader -g trader -m 700 /logs
COPY --from=build /opt/serve /opt/serve
ENV PATH=/opt/serve/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 \
    ORT_DISABLE_TELEMETRY=1
USER 10001:10001
WORKDIR /logs
VOLUME /logs
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-m", "offline_trader.monitoring.probe", "https://127.0.0.1:8000"]
ENTRYPOINT ["offline-trader", "serve"]
CMD ["/serving/policy.onnx", "--instrument", "SPX", "--logs", "/logs", "--config", "/serving/serving.yaml", \
     "--alerts", "/serving/alerts.yaml", "--host", "0.0.0.0", "--token-file", "/serving/token", \
     "--tls-cert", "/serving/cert.pem", "--tls-key", "/serving/key.pem"]

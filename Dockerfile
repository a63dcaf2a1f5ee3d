# The server side of Fuseboard: consumer, aggregator, HTTP API, command line. `docker build -t fuseboard .`
FROM python:3.13-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/fuseboard
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY schema schema
COPY producer producer
COPY consumer consumer
COPY aggregator aggregator
COPY api api
COPY cli cli
RUN /opt/fuseboard/bin/pip install ".[server]"

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin fuseboard && install -d -o 10001 -g 10001 -m 700 /spool
COPY --from=build /opt/fuseboard /opt/fuseboard
ENV PATH=/opt/fuseboard/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
ENTRYPOINT ["fuseboard"]
CMD ["--help"]

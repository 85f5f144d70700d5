# syntax=docker/dockerfile:1
# Two images: `serve` (the default) scores and shows; `train` also learns. Both run as a user without
# rights, write only to /data and /tmp, and are told everything by environment variables.
#
#   docker build -t propensity .
#   docker build --target train -t propensity-train .

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /build
COPY requirements/bootstrap.txt requirements/build.txt requirements/
RUN pip install --require-hashes -r requirements/bootstrap.txt -r requirements/build.txt
RUN python -m venv --without-pip /opt/propensity
ENV VIRTUAL_ENV=/opt/propensity

FROM build AS wheel
COPY pyproject.toml README.md LICENSE NOTICE propensity.py ./
COPY features features
COPY models models
COPY training training
COPY serving serving
RUN hatchling build --target wheel

FROM build AS build-serve
COPY requirements/serve.txt requirements/
RUN uv pip sync --require-hashes requirements/serve.txt
COPY --from=wheel /build/dist dist
RUN uv pip install --no-deps dist/*.whl && python -m compileall -q /opt/propensity

FROM build AS build-train
COPY requirements/train.txt requirements/
RUN uv pip sync --require-hashes requirements/train.txt
COPY --from=wheel /build/dist dist
RUN uv pip install --no-deps dist/*.whl && python -m compileall -q /opt/propensity

FROM python:3.13-slim AS runtime
# OpenMP, which LightGBM needs and the slim image lacks.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin propensity \
    && install -d -o propensity -g propensity /data
ENV PATH=/opt/propensity/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_WAIT_POLICY=PASSIVE \
    MALLOC_ARENA_MAX=2 \
    PROPENSITY_DATA_DIR=/data \
    PROPENSITY_HOST=0.0.0.0
USER propensity
WORKDIR /data
VOLUME /data

FROM runtime AS train
# What would otherwise be written to a home directory that may be read-only.
ENV MPLCONFIGDIR=/tmp/matplotlib MLFLOW_DISABLE_TELEMETRY=true
COPY --from=build-train /opt/propensity /opt/propensity
ENTRYPOINT ["propensity"]
CMD ["train"]

FROM runtime AS serve
COPY --from=build-serve /opt/propensity /opt/propensity
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-P", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('PROPENSITY_PORT', '8000') + '/v2/health/ready', timeout=4)"]
ENTRYPOINT ["propensity"]
CMD ["serve"]

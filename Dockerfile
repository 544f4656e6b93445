# Two images of one distribution: `service` answers (no benchmark stack), `calibration` measures.
#   docker build --target service --tag joulewise:service .
#   docker build --target calibration --tag joulewise:calibration .
FROM python:3.13-slim AS base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && groupadd --gid 10001 joulewise \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/joulewise joulewise \
    && install --directory --owner=joulewise --group=joulewise --mode=0750 /var/lib/joulewise \
    && install --directory /srv/joulewise
ENV PATH=/opt/joulewise/bin:$PATH \
    JOULEWISE_CATALOG=sqlite:////var/lib/joulewise/catalog.sqlite
# Empty and nobody's to write: nothing in it can stand before an installed package.
WORKDIR /srv/joulewise
USER 10001:10001

FROM base AS wheel
USER root
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY docs docs
COPY advisor advisor
COPY calibration calibration
COPY catalog catalog
COPY api api
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && python -m venv /opt/joulewise

FROM wheel AS calibration-install
COPY constraints.txt ./
RUN /opt/joulewise/bin/pip install --no-cache-dir \
    --constraint constraints.txt "$(echo /wheels/*.whl)[calibration,fleet,postgres]" \
    && /opt/joulewise/bin/pip uninstall --quiet --yes pip

FROM wheel AS service-install
COPY constraints.txt ./
RUN /opt/joulewise/bin/pip install --no-cache-dir \
    --constraint constraints.txt "$(echo /wheels/*.whl)[postgres]" \
    && /opt/joulewise/bin/pip uninstall --quiet --yes pip \
    && find /opt/joulewise/lib -type d \( -name tests -o -path '*/pyarrow/include' \) \
        -prune -exec rm -rf {} +

# Needs the machine's counters: see docs/containers.md.
FROM base AS calibration
USER root
RUN install --directory /data /models
USER 10001:10001
COPY --from=calibration-install /opt/joulewise /opt/joulewise
ENV JOULEWISE_DATA=/data JOULEWISE_MODELS=/models JOULEWISE_CACHE=/var/lib/joulewise/cache
ENTRYPOINT ["joulewise"]
CMD ["doctor"]

FROM base AS service
COPY --from=service-install /opt/joulewise /opt/joulewise
ENV JOULEWISE_HOST=0.0.0.0 JOULEWISE_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["python", "-c", \
    "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"JOULEWISE_PORT\"]}/health/ready')"]
CMD ["joulewise", "serve"]
